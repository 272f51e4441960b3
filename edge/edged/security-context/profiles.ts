import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#shared/errors";
import type { Container, Pod, SecurityProfile } from "#shared/kube";
import type { ContainerSpec, SeccompProfile } from "#edge/runtime";
import { SecurityError, unserved } from "./refusal.ts";

const appArmorSwitch = "/sys/module/apparmor/parameters/enabled";

/** Whether the kernel enforces AppArmor profiles. */
export function hasAppArmor(): boolean {
  return existsSync(appArmorSwitch) && readFileSync(appArmorSwitch, "utf8").startsWith("Y");
}

/**
 * The seccomp profile for the engine; undefined for the engine's own, which also applies to pods without one. Profiles of type
 * Localhost are read from `dir`. @throws SecurityError as kubelet refuses
 */
export function seccompOf(pod: Pod, container: Container, dir: string): ContainerSpec["seccomp"] {
  const profile = container.securityContext?.seccompProfile ?? pod.spec.securityContext?.seccompProfile;
  if (profile === undefined || profile.type === "RuntimeDefault") return undefined;
  if (profile.type === "Unconfined") return "unconfined";
  if (profile.type !== "Localhost") throw unserved(`unknown seccomp profile type ${quoted(profile.type)}`);
  return readProfile(dir, profile.localhostProfile ?? "");
}

function readProfile(dir: string, name: string): SeccompProfile {
  if (name === "" || name.startsWith("/") || name.includes("\0") || name.split("/").includes(".."))
    throw unserved(`invalid seccomp profile name ${quoted(name)}: it must be a path below ${dir}`);
  const path = join(dir, name);
  try {
    return { path, text: JSON.stringify(JSON.parse(readFileSync(path, "utf8"))) };
  } catch (error) {
    throw new SecurityError(
      "CreateContainerError",
      `failed to generate seccomp security options for container: cannot load seccomp profile ${quoted(path)}: ${describeError(error)}`,
      { cause: error },
    );
  }
}

/** The AppArmor profile for the engine; undefined for its own. @throws SecurityError as kubelet refuses */
export function appArmorOf(pod: Pod, container: Container, isEnabled: boolean): string | undefined {
  const profile = appArmorProfile(pod, container);
  if (profile === undefined) return undefined;
  if (profile.type === "Unconfined") return "unconfined";
  if (!isEnabled) throw appArmorError("AppArmor is not enabled on the host");
  if (profile.type === "RuntimeDefault") return undefined;
  if (profile.type !== "Localhost" || !profile.localhostProfile)
    throw appArmorError(`invalid AppArmor profile ${quoted(profile.localhostProfile ?? profile.type)}`);
  return profile.localhostProfile;
}

/** Annotations are the way before Kubernetes 1.30. */
function appArmorProfile({ metadata, spec }: Pod, container: Container): SecurityProfile | undefined {
  const field = container.securityContext?.appArmorProfile ?? spec.securityContext?.appArmorProfile;
  const name = `container.apparmor.security.beta.kubernetes.io/${container.name}`;
  return field ?? fromAnnotation(metadata.annotations?.[name] ?? "");
}

function appArmorError(why: string): SecurityError {
  return new SecurityError("AppArmor", `Cannot enforce AppArmor: ${why}`);
}

function fromAnnotation(text: string): SecurityProfile | undefined {
  if (text === "") return undefined;
  if (text === "runtime/default") return { type: "RuntimeDefault" };
  if (text === "unconfined") return { type: "Unconfined" };
  return text.startsWith("localhost/")
    ? { type: "Localhost", localhostProfile: text.slice("localhost/".length) }
    : { type: text };
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
