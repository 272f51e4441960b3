import type { Clock } from "#shared/clock";
import { AppError, asError, UnavailableError } from "#shared/errors";
import type { Container, Pod } from "#shared/kube";
import type { ContainerRuntime, Image, RegistryAuth } from "#edge/runtime";
import type { Objects } from "#edge/edged/environment";
import type { PodEvent } from "#edge/edged/events";
import { findCredentials } from "./credentials.ts";
import { isReference } from "./reference.ts";

/** A container cannot be started now; `code` is the reason shown in its waiting state. */
export class StartError extends AppError {}

export interface ImageTools {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly record: (event: PodEvent) => void;
  readonly signal: AbortSignal;
}

/** Makes sure a container's image is in the engine, by its pull policy (kubelet's image_manager). @throws StartError */
export async function ensureImage(
  container: Container,
  dockerConfigs: readonly string[],
  tools: ImageTools,
): Promise<Image> {
  const ref = container.image ?? "";
  if (!isReference(ref)) {
    tools.record({
      type: "Warning",
      reason: "InspectFailed",
      message: `Failed to apply default image tag "${ref}": couldn't parse image reference "${ref}": invalid reference format`,
    });
    throw new StartError(
      "InvalidImageName",
      `Failed to apply default image tag "${ref}": couldn't parse image reference "${ref}": invalid reference format`,
    );
  }
  const policy = pullPolicy(container);
  const present = policy === "Always" ? undefined : await tools.runtime.findImage(ref);
  if (present) {
    tools.record({
      type: "Normal",
      reason: "Pulled",
      message: `Container image "${ref}" already present on machine`,
    });
    return present;
  }
  if (policy === "Never") {
    const message = `Container image "${ref}" is not present with pull policy of Never`;
    tools.record({ type: "Warning", reason: "ErrImageNeverPull", message });
    throw new StartError("ErrImageNeverPull", message);
  }
  await pull(ref, dockerConfigs, tools);
  const pulled = await tools.runtime.findImage(ref);
  if (!pulled) throw new StartError("ErrImagePull", `image "${ref}" was removed while it was pulled`);
  return pulled;
}

/** Kubernetes' default: an image without a fixed tag may change behind its name. */
export function pullPolicy(container: Container): "Always" | "IfNotPresent" | "Never" {
  if (container.imagePullPolicy) return container.imagePullPolicy;
  const name = (container.image ?? "").split("/").at(-1) ?? "";
  return name.includes("@") || (name.includes(":") && !name.endsWith(":latest")) ? "IfNotPresent" : "Always";
}

/** Texts of the docker configs in a pod's image pull secrets; missing secrets are skipped, as kubelet does. */
export function pullSecretTexts(pod: Pod, objects: Objects): string[] {
  return (pod.spec.imagePullSecrets ?? []).flatMap(({ name }) => {
    const data = objects.get(`secret/${name ?? ""}`)?.data;
    const text = data?.[".dockerconfigjson"] ?? data?.[".dockercfg"];
    return text === undefined ? [] : [Buffer.from(text, "base64").toString()];
  });
}

async function pull(ref: string, dockerConfigs: readonly string[], tools: ImageTools): Promise<void> {
  const { clock, record, signal } = tools;
  record({ type: "Normal", reason: "Pulling", message: `Pulling image "${ref}"` });
  const startMs = clock.monotonicMs();
  try {
    await pullWithAny(ref, findCredentials(ref, dockerConfigs), tools);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UnavailableError) throw error;
    const reason = asError(error).message;
    record({ type: "Warning", reason: "Failed", message: `Failed to pull image "${ref}": ${reason}` });
    throw new StartError("ErrImagePull", reason, { cause: error });
  }
  const seconds = ((clock.monotonicMs() - startMs) / 1000).toFixed(3);
  const message = `Successfully pulled image "${ref}" in ${seconds}s (${seconds}s including waiting)`;
  record({ type: "Normal", reason: "Pulled", message });
}

/** With one after the other until the registry accepts one, as kubelet. @throws AppError with all reasons */
async function pullWithAny(
  ref: string,
  credentials: readonly RegistryAuth[],
  { runtime, signal }: ImageTools,
): Promise<void> {
  const reasons: string[] = [];
  for (const auth of credentials.length === 0 ? [undefined] : credentials) {
    try {
      return await runtime.pullImage(ref, { auth, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UnavailableError) throw error;
      reasons.push(asError(error).message);
    }
  }
  const text = reasons.length === 1 ? (reasons[0] ?? "") : `[${reasons.join(", ")}]`;
  throw new AppError("image-pull", text);
}

/** Turns the engine's refusal of one step into a StartError with kubelet's reason. */
export function toStartError(reason: string): (thrown: unknown) => never {
  return (thrown) => {
    if (thrown instanceof UnavailableError) throw thrown;
    throw new StartError(reason, asError(thrown).message, { cause: thrown });
  };
}
