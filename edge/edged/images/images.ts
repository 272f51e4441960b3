import { AppError, asError, UnavailableError } from "#shared/errors";
import type { Container, Pod } from "#shared/kube";
import type { Image } from "#edge/runtime";
import type { Objects } from "#edge/edged/environment";
import type { PodEvent } from "#edge/edged/events";
import type { PullTime } from "./puller.ts";
import { isReference } from "#shared/image-names";

/** A container cannot be started now; `code` is the reason shown in its waiting state. */
export class StartError extends AppError {}

export interface ImageTools {
  readonly record: (event: PodEvent) => void;
  /** An image that is here; undefined when there is none. */
  readonly find: (ref: string) => Promise<Image | undefined>;
  /** @throws AppError with the registry's reason */
  readonly pull: (ref: string) => Promise<PullTime>;
  readonly readPulled: (ref: string) => Promise<Image | undefined>;
  readonly signal: AbortSignal;
}

/** Makes sure a container's image is in the engine, by its pull policy (kubelet's image_manager). @throws StartError */
export async function ensureImage(container: Container, tools: ImageTools): Promise<Image> {
  const ref = container.image ?? "";
  if (!isReference(ref)) {
    const message = `Failed to apply default image tag "${ref}": couldn't parse image reference "${ref}": invalid reference format`;
    tools.record({ type: "Warning", reason: "InspectFailed", message });
    throw new StartError("InvalidImageName", message);
  }
  const policy = pullPolicy(container);
  const present = policy === "Always" ? undefined : await tools.find(ref);
  if (present) {
    const message = `Container image "${ref}" already present on machine`;
    tools.record({ type: "Normal", reason: "Pulled", message });
    return present;
  }
  if (policy === "Never") {
    const message = `Container image "${ref}" is not present with pull policy of Never`;
    tools.record({ type: "Warning", reason: "ErrImageNeverPull", message });
    throw new StartError("ErrImageNeverPull", message);
  }
  await pull(ref, tools);
  const pulled = await tools.readPulled(ref);
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

async function pull(ref: string, tools: ImageTools): Promise<void> {
  const { record, signal } = tools;
  record({ type: "Normal", reason: "Pulling", message: `Pulling image "${ref}"` });
  try {
    const { pullMs, wholeMs } = await tools.pull(ref);
    const message = `Successfully pulled image "${ref}" in ${secondsOf(pullMs)} (${secondsOf(wholeMs)} including waiting)`;
    record({ type: "Normal", reason: "Pulled", message });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UnavailableError) throw error;
    const reason = asError(error).message;
    record({ type: "Warning", reason: "Failed", message: `Failed to pull image "${ref}": ${reason}` });
    throw new StartError("ErrImagePull", reason, { cause: error });
  }
}

function secondsOf(ms: number): string {
  return `${(ms / 1000).toFixed(3)}s`;
}

/** Turns the engine's refusal of one step into a StartError with kubelet's reason. */
export function toStartError(reason: string): (thrown: unknown) => never {
  return (thrown) => {
    if (thrown instanceof UnavailableError) throw thrown;
    throw new StartError(reason, asError(thrown).message, { cause: thrown });
  };
}
