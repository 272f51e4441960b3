import { AppError, UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import type { Container, EphemeralContainer, Pod } from "#shared/kube";
import type {
  ContainerDetails,
  ContainerResources,
  ContainerRuntime,
  ContainerSpec,
  PodProcesses,
} from "#edge/runtime";
import {
  envReferences,
  resolveEnv,
  skippedNames,
  type Objects,
  type PodFacts,
} from "#edge/edged/environment";
import { containerMounts, terminationLogPath, type PodVolumes } from "#edge/edged/volumes";
import { refuseContainer, refusePod, type NodeSecurity } from "#edge/edged/security-context";
import {
  containerSpec,
  hostnameOf,
  resourcesOf,
  sandboxSpec,
  withDevices,
  type ClusterDns,
  type NodeLimits,
} from "./container-spec.ts";
import type { PodEvent } from "#edge/edged/events";
import { resizedEvent } from "./events.ts";
import {
  refuseForProcesses,
  refuseOtherKind,
  refuseUnserved,
  unappliedFields,
  type PodKind,
} from "#edge/edged/pods/admission";
import { pullSecretTexts, StartError, toStartError, type NodeImages } from "#edge/edged/images";
import { historyOf, type Action, type Role } from "#edge/edged/pods/plan";
import type { AllocatedContainer } from "#edge/runtime/device-plugins";
import type { PodReporter } from "./reporter.ts";
import type { PodState } from "./state.ts";
import type { PodStopper } from "./stop.ts";

export interface StartDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly images: Pick<NodeImages, "ensure">;
  /** Decided when the pod came to this node. */
  readonly kind: PodKind;
  /** What runs a pod of processes; undefined for other pods, and where this node allows none. */
  readonly processes: PodProcesses | undefined;
  readonly podDir: string;
  /** What subPaths are mounted at until their container runs. */
  readonly pinsDir: string;
  readonly dns: ClusterDns;
  readonly security: NodeSecurity;
  readonly limits: NodeLimits;
  readonly oomScores: OomScores;
  /** What plugins give a container; called before each start. */
  readonly devicesOf: (pod: Pod, container: string) => Promise<readonly AllocatedContainer[]>;
  readonly objects: (namespace: string, keys: readonly string[]) => Promise<Objects>;
}

/**
 * Whether the engine may protect a container from the kernel's OOM killer: without a capability (rootless, nested) it cannot
 * start one with a negative score, and says nothing of why.
 */
export interface OomScores {
  negative: "unknown" | "allowed" | "refused";
}

export interface PodStarterParts {
  readonly volumes: PodVolumes;
  readonly reporter: PodReporter;
  readonly stopper: PodStopper;
  /** Aborted when the pod ends or edged is disposed. */
  readonly signal: AbortSignal;
}

/** Creates and starts the sandbox and the containers of one pod. */
export class PodStarter {
  readonly #state: PodState;
  readonly #deps: StartDeps;
  readonly #parts: PodStarterParts;

  constructor(state: PodState, deps: StartDeps, parts: PodStarterParts) {
    this.#state = state;
    this.#deps = deps;
    this.#parts = parts;
  }

  async startSandbox(attempt: number): Promise<void> {
    const { runtime, dns, security } = this.#deps;
    const { pod, containers } = this.#state;
    this.#refuseUnserved();
    await this.#parts.volumes.ensure(pod, this.#state.facts());
    if (attempt > 0) {
      const message = "Pod sandbox changed, it will be killed and re-created.";
      this.#parts.reporter.record(undefined, { type: "Normal", reason: "SandboxChanged", message });
    }
    const details = await runtime.runSandbox(sandboxSpec(this.#state.pod, { attempt, dns, security }));
    containers.add(details);
    if (attempt === 0) this.#warnOfUnapplied();
  }

  #warnOfUnapplied(): void {
    const fields = unappliedFields(this.#state.pod);
    if (fields.length === 0) return;
    const message = `Not applied on this node: ${fields.join(", ")}`;
    this.#parts.reporter.record(undefined, { type: "Warning", reason: "FieldsNotApplied", message });
  }

  async startContainer({ container, role, attempt }: Extract<Action, { kind: "start" }>): Promise<void> {
    const { volumes, reporter, stopper, signal } = this.#parts;
    const { sandbox, memory, pod } = this.#state;
    if (!sandbox) return;
    // The others were looked at before the sandbox was made.
    if (role === "ephemeral") refuseContainer(container);
    refuseOtherKind(pod, container, this.#deps.kind);
    const [latest] = historyOf(this.#state.containers.all, container.name);
    const record = (event: PodEvent): void => reporter.record(container, event);
    const input = {
      pod,
      container,
      targetId: this.#targetOf(container),
      role,
      attempt,
      sandbox,
      volumes: await volumes.ensure(pod, this.#state.facts()),
      served: volumes.served,
      facts: this.#state.facts(),
      record,
      signal,
    };
    const id = await startContainer(input, this.#deps);
    this.#state.setResources(id, container);
    const failed = await stopper.runPostStart(id, container);
    if (failed) record(failed);
    if (latest?.phase === "exited" && latest.identity.sandboxId === sandbox.id) memory.restarted(latest);
  }

  /** Gives a container that runs the resources of its specification. @throws StartError */
  async resize({ target, container }: Extract<Action, { kind: "resize" }>): Promise<void> {
    const { runtime } = this.#deps;
    const wanted = resourcesOf(container);
    const before = this.#state.knownResources(target);
    const had = before && resourcesOf({ ...container, resources: before });
    await refuseTooLittle(runtime, target.id, { wanted, had });
    const update = runtime.update(target.id, wanted);
    // Of one of an earlier release it is not known what it has: it is given them once, and most have them.
    if (!before) await update.catch((error: unknown) => this.#assume(target, container, error));
    await update.catch(toStartError("ResizeError"));
    this.#state.setResources(target.id, container);
    if (before) this.#parts.reporter.record(container, resizedEvent(container));
  }

  #assume({ id }: ContainerDetails, container: Container, error: unknown): void {
    if (!(error instanceof UnavailableError)) this.#state.setResources(id, container);
  }

  /** The container whose processes an ephemeral one sees. @throws StartError while it does not run */
  #targetOf({ targetContainerName: target = "" }: EphemeralContainer): string | undefined {
    if (target === "") return undefined;
    const [latest] = historyOf(this.#state.containers.all, target);
    if (latest?.phase === "running") return latest.id;
    throw new StartError("CreateContainerConfigError", `unable to find target container "${target}"`);
  }

  /** The reason of a pod that this node cannot run as specified is shown by all its containers. */
  #refuseUnserved(): void {
    try {
      refusePod(this.#state.pod, this.#deps.security);
      refuseUnserved(this.#state.pod);
      const { kind, processes } = this.#deps;
      if (kind === "processes") refuseForProcesses(this.#state.pod, processes !== undefined);
    } catch (error) {
      const nowMs = this.#deps.clock.nowMs();
      for (const { name, image = "" } of this.#state.specs())
        this.#state.memory.failed(name, { error, image, nowMs });
      throw error;
    }
  }
}

interface StartInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly targetId: string | undefined;
  readonly role: Role;
  readonly attempt: number;
  readonly sandbox: ContainerDetails;
  /** Host path by volume name. */
  readonly volumes: ReadonlyMap<string, string>;
  /** Names of those on file servers. */
  readonly served: ReadonlySet<string>;
  readonly facts: PodFacts;
  readonly record: (event: PodEvent) => void;
  readonly signal: AbortSignal;
}

/** Creates and starts one container of a pod. @returns its id. @throws AppError whose code is the waiting reason */
async function startContainer(input: StartInput, deps: StartDeps): Promise<string> {
  const { pod, container, role, attempt, sandbox, volumes, record, facts, served, signal } = input;
  const { podDir, pinsDir, security, dns, limits, clock } = deps;
  const { imageUser, env } = await imageAndEnv(input, deps);
  const terminationLog = terminationLogPath(podDir, container.name, attempt);
  const hosts = { hostname: hostnameOf(pod), domain: dns.domain, podIps: facts.podIps };
  await using held = await containerMounts({
    pod,
    container,
    volumes,
    env,
    terminationLog,
    podDir,
    hosts,
    pinsDir,
    served,
    ofProcesses: deps.processes !== undefined,
    clock,
    signal,
  });
  const { mounts } = held;
  const plain = containerSpec(pod, container, {
    role,
    attempt,
    sandboxId: sandbox.id,
    sandbox: sandboxSpec(pod, { attempt: sandbox.identity.attempt, dns, security }),
    targetId: input.targetId,
    env,
    mounts,
    security,
    imageUser,
    limits,
  });
  const allocated = await deps.devicesOf(pod, container.name).catch(toStartError("PreStartHookError"));
  const spec = withDevices(plain, allocated);
  const onCreated = (): void =>
    record({ type: "Normal", reason: "Created", message: `Created container ${container.name}` });
  const id = await createAndStart(spec, deps, onCreated);
  record({ type: "Normal", reason: "Started", message: `Started container ${container.name}` });
  return id;
}

async function imageAndEnv(
  { pod, container, facts, record, signal }: StartInput,
  { images, objects, processes }: StartDeps,
): Promise<{ readonly imageUser: string; readonly env: ReadonlyMap<string, string> }> {
  const secrets = (pod.spec.imagePullSecrets ?? []).map(({ name }) => `secret/${name ?? ""}`);
  const keys = [...envReferences(container), ...secrets];
  const found: Objects =
    keys.length === 0 ? new Map() : await objects(pod.metadata.namespace ?? "default", keys);
  const dockerConfigs = pullSecretTexts(pod, found);
  const imageUser = processes
    ? processes.userFor(pod.metadata.uid ?? "")
    : ((await images.ensure({ container, dockerConfigs, record, signal })).user ?? "");
  const env = resolveEnv(pod, container, found, facts);
  if (!env.ok) throw new StartError("CreateContainerConfigError", env.reason);
  for (const message of skippedNames(container, found))
    record({ type: "Warning", reason: "InvalidEnvironmentVariableNames", message });
  return { imageUser, env: env.env };
}

/** One that could not be started with a negative OOM score is started with the least that any engine may give. */
async function createAndStart(
  spec: ContainerSpec,
  { runtime, oomScores }: StartDeps,
  onCreated: () => void,
): Promise<string> {
  const wanted = spec.oomScoreAdj ?? 0;
  const isSpared = wanted < 0 && oomScores.negative !== "refused";
  const given = isSpared || wanted >= 0 ? spec : { ...spec, oomScoreAdj: 0 };
  const id = await runtime.create(given).catch(toStartError("CreateContainerError"));
  onCreated();
  try {
    await startOrRemove(runtime, id);
    if (isSpared) oomScores.negative = "allowed";
    return id;
  } catch (error) {
    if (!isSpared || oomScores.negative === "allowed" || error instanceof UnavailableError)
      return toStartError("RunContainerError")(error);
  }
  const again = await runtime.create({ ...spec, oomScoreAdj: 0 }).catch(toStartError("CreateContainerError"));
  await startOrRemove(runtime, again).catch(toStartError("RunContainerError"));
  oomScores.negative = "refused";
  return again;
}

async function startOrRemove(runtime: ContainerRuntime, id: string): Promise<void> {
  try {
    await runtime.start(id);
  } catch (error) {
    if (!(error instanceof UnavailableError)) await runtime.remove(id);
    throw error;
  }
}

/**
 * Less memory than a container uses would end it at once: as with kubelet the change waits until it uses less.
 * @throws StartError
 */
async function refuseTooLittle(
  runtime: Pick<ContainerRuntime, "usage">,
  id: string,
  { wanted, had }: { readonly wanted: ContainerResources; readonly had: ContainerResources | undefined },
): Promise<void> {
  const { memoryBytes } = wanted;
  if (memoryBytes === undefined || memoryBytes >= (had?.memoryBytes ?? Infinity)) return;
  const used = await runtime.usage(id).catch(toStartError("ResizeError"));
  if (!used || used.workingSetBytes < memoryBytes) return;
  const message = `attempting to set pod memory limit (${memoryBytes}) below current usage (${used.workingSetBytes})`;
  throw new StartError("ResizeError", message);
}

/** Whether a start may have failed because a volume was removed meanwhile. */
export function doubtsVolumes(error: unknown): boolean {
  return error instanceof AppError && error.code === "CreateContainerError";
}
