import { AppError, asError, describeError } from "#shared/errors";
import type { Container, Pod } from "#shared/kube";
import type { PodEvent } from "#edge/edged/events";
import { VolumeError } from "#edge/edged/volumes";
import { sandboxName, type StartFailure } from "#edge/edged/pods/plan";

/** Why a container or the sandbox could not be started, in kubelet's words. */
export function failureEvent(name: string, error: unknown, failure: StartFailure): PodEvent {
  const text = asError(error).message;
  if (error instanceof VolumeError) return { type: "Warning", reason: "FailedMount", message: text };
  if (name === sandboxName)
    return isRejection(error)
      ? { type: "Warning", reason: error.code, message: text }
      : {
          type: "Warning",
          reason: "FailedCreatePodSandBox",
          message: `Failed to create pod sandbox: ${text}`,
        };
  const message = `Error: ${failure.reason.startsWith("Err") ? failure.reason : text}`;
  return { type: "Warning", reason: "Failed", message };
}

/** Refusals of kubelet's admission, which have a reason of their own. */
function isRejection(error: unknown): error is AppError {
  return (
    error instanceof AppError && ["AppArmor", "PodOSNotSupported", "SysctlForbidden"].includes(error.code)
  );
}

/** kubelet: BackOffStartContainer. */
export function crashEvent(pod: Pod, container: Container): PodEvent {
  const { name, namespace, uid } = pod.metadata;
  const message = `Back-off restarting failed container ${container.name} in pod ${name}_${namespace}(${uid})`;
  return { type: "Warning", reason: "BackOff", message };
}

/** kubelet: ContainerUnhealthy; `kind` is that of the probe. */
export function unhealthyEvent(kind: string, output: string): PodEvent {
  const message = `${kind.slice(0, 1).toUpperCase()}${kind.slice(1)} probe failed: ${output}`;
  return { type: "Warning", reason: "Unhealthy", message };
}

/** kubelet: FailedSync. */
export function syncEvent(error: unknown): PodEvent {
  return { type: "Warning", reason: "FailedSync", message: `Error syncing pod: ${describeError(error)}` };
}

/** A container that runs has other resources now. */
export function resizedEvent({ name, resources }: Container): PodEvent {
  const message = `Container ${name} has its new resources: ${JSON.stringify(resources ?? {})}`;
  return { type: "Normal", reason: "ResizeCompleted", message };
}

/** kubelet: BackOffPullImage. */
export function pullBackoffEvent(image: string): PodEvent {
  return { type: "Normal", reason: "BackOff", message: `Back-off pulling image "${image}"` };
}

/** `spec.containers{web}`; nothing for the pod as a whole. */
export function fieldPathOf(pod: Pod, container: Container | undefined): { readonly fieldPath?: string } {
  if (!container) return {};
  const list =
    (["initContainers", "ephemeralContainers"] as const).find((field) =>
      pod.spec[field]?.includes(container),
    ) ?? "containers";
  return { fieldPath: `spec.${list}{${container.name}}` };
}
