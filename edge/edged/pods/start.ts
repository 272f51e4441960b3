import { join } from "node:path";
import { AppError, UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import type { Container, Pod } from "#shared/kube";
import type { ContainerRuntime } from "#edge/runtime";
import { envReferences, resolveEnv, type Objects, type PodFacts } from "#edge/edged/environment";
import { containerMounts } from "#edge/edged/volumes";
import type { NodeSecurity } from "#edge/edged/security-context";
import { containerSpec } from "./container-spec.ts";
import type { PodEvent } from "#edge/edged/events";
import { ensureImage, pullSecretTexts, StartError, toStartError } from "#edge/edged/images";
import type { Role } from "#edge/edged/pods/plan";

export interface StartDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly podDir: string;
  /** What subPaths are mounted at until their container runs. */
  readonly pinsDir: string;
  readonly security: NodeSecurity;
  readonly objects: (namespace: string, keys: readonly string[]) => Promise<Objects>;
}

export interface StartInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly role: Role;
  readonly attempt: number;
  readonly sandboxId: string;
  /** Host path by volume name. */
  readonly volumes: ReadonlyMap<string, string>;
  readonly facts: PodFacts;
  readonly record: (event: PodEvent) => void;
  readonly signal: AbortSignal;
}

/** Creates and starts one container of a pod. @returns its id; throws an error whose code is the waiting reason */
export async function startContainer(input: StartInput, deps: StartDeps): Promise<string> {
  const { pod, container, role, attempt, sandboxId, volumes, record } = input;
  const { runtime, podDir, pinsDir, security } = deps;
  const { imageUser, env } = await imageAndEnv(input, deps);
  const terminationLog = terminationLogPath(podDir, container.name, attempt);
  using held = await containerMounts({ pod, container, volumes, env, terminationLog, pinsDir });
  const { mounts } = held;
  const spec = containerSpec(pod, container, {
    role,
    attempt,
    sandboxId,
    env,
    mounts,
    security,
    imageUser,
  });
  const id = await runtime.create(spec).catch(toStartError("CreateContainerError"));
  record({ type: "Normal", reason: "Created", message: `Created container ${container.name}` });
  await startOrRemove(runtime, id).catch(toStartError("RunContainerError"));
  record({ type: "Normal", reason: "Started", message: `Started container ${container.name}` });
  return id;
}

async function imageAndEnv(
  { pod, container, facts, record, signal }: StartInput,
  { runtime, clock, objects }: StartDeps,
): Promise<{ readonly imageUser: string; readonly env: ReadonlyMap<string, string> }> {
  const secrets = (pod.spec.imagePullSecrets ?? []).map(({ name }) => `secret/${name ?? ""}`);
  const keys = [...envReferences(container), ...secrets];
  const found: Objects =
    keys.length === 0 ? new Map() : await objects(pod.metadata.namespace ?? "default", keys);
  const tools = { runtime, clock, record, signal };
  const image = await ensureImage(container, pullSecretTexts(pod, found), tools);
  const env = resolveEnv(pod, container, found, facts);
  if (!env.ok) throw new StartError("CreateContainerConfigError", env.reason);
  return { imageUser: image.user ?? "", env: env.env };
}

export async function startOrRemove(runtime: ContainerRuntime, id: string): Promise<void> {
  try {
    await runtime.start(id);
  } catch (error) {
    if (!(error instanceof UnavailableError)) await runtime.remove(id);
    throw error;
  }
}

export function terminationLogPath(podDir: string, container: string, attempt: number): string {
  return join(podDir, "containers", container, `${attempt}.log`);
}

/** Whether a failed start may be the fault of a volume that is not there any more. */
export function doubtsVolumes(error: unknown): boolean {
  return error instanceof AppError && error.code === "CreateContainerError";
}
