import type { Container, Pod } from "#shared/kube";
import { SecurityError } from "./refusal.ts";

/**
 * The user of a container for the engine; undefined leaves it to the image. `imageUser` is `USER` of the image: "",
 * "app", "1000", "1000:1000". @throws SecurityError with kubelet's text when root is not allowed
 */
export function userOf(pod: Pod, container: Container, imageUser: string): string | undefined {
  const merged = { ...pod.spec.securityContext, ...container.securityContext };
  const { runAsUser, runAsGroup, runAsNonRoot } = merged;
  const [name = ""] = imageUser.split(":");
  if (runAsNonRoot === true) refuseRoot(pod, container, { runAsUser, name });
  if (runAsUser !== undefined)
    return runAsGroup === undefined ? `${runAsUser}` : `${runAsUser}:${runAsGroup}`;
  if (runAsGroup !== undefined) return `${name || "0"}:${runAsGroup}`;
  // Given explicitly: the image of that name may be replaced meanwhile.
  return runAsNonRoot === true ? imageUser : undefined;
}

function refuseRoot(
  pod: Pod,
  container: Container,
  { runAsUser, name }: { readonly runAsUser: number | undefined; readonly name: string },
): void {
  const { metadata } = pod;
  const who = `(pod: "${metadata.name}_${metadata.namespace}(${metadata.uid})", container: ${container.name})`;
  if (runAsUser === 0) throw refusal(`container's runAsUser breaks non-root policy ${who}`);
  if (runAsUser !== undefined) return;
  if (name === "" || /^[+-]?0+$/.test(name))
    throw refusal(`container has runAsNonRoot and image will run as root ${who}`);
  if (!/^[+-]?\d+$/.test(name))
    throw refusal(
      `container has runAsNonRoot and image has non-numeric user (${name}), cannot verify user is non-root ${who}`,
    );
}

function refusal(message: string): SecurityError {
  return new SecurityError("CreateContainerConfigError", message);
}
