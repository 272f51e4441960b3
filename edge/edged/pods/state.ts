import { isDeepStrictEqual } from "node:util";
import type { Clock } from "#shared/clock";
import {
  objectKey,
  type Container,
  type ContainerStatus,
  type ObjectMeta,
  type Pod,
  type PodStatus,
} from "#shared/kube";
import { envReferences, type PodFacts } from "#edge/edged/environment";
import { currentSandbox, planPod, PodMemory, resizeOf, type Plan } from "#edge/edged/pods/plan";
import { LogTails } from "#edge/edged/streams";
import { volumeReferences } from "#edge/edged/volumes";
import type { ContainerDetails, ContainerRuntime } from "#edge/runtime";
import { PodContainers } from "./containers.ts";

export interface PodStateDeps {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly facts: () => Omit<PodFacts, "podIps">;
}

/** What a worker knows of its pod: the desired object, its containers, and what is remembered between passes. */
export class PodState {
  readonly containers: PodContainers;
  readonly memory: PodMemory;
  /** By id, the resources of containers that run. */
  readonly #resources = new Map<string, Container["resources"]>();
  readonly #clock: Clock;
  readonly #logTails: LogTails;
  readonly #facts: () => Omit<PodFacts, "podIps">;
  /** The latest object. */
  pod: Pod;

  constructor(pod: Pod, { runtime, clock, facts }: PodStateDeps) {
    const started = pod.status?.startTime === undefined ? NaN : Date.parse(pod.status.startTime);
    this.pod = pod;
    this.#clock = clock;
    this.containers = new PodContainers(runtime, pod.metadata.uid ?? "");
    const startMs = Number.isNaN(started) ? clock.nowMs() : started;
    const knownSinceMs = clock.monotonicMs();
    // Without a battery the clock of a machine is behind after a boot, and set forward later.
    const beforeMs = Math.max(0, clock.nowMs() - startMs);
    this.memory = new PodMemory(startMs, () => beforeMs + clock.monotonicMs() - knownSinceMs);
    this.#facts = facts;
    this.#logTails = new LogTails(runtime);
  }

  /** `<namespace>/<name>` */
  get key(): string {
    return objectKey(this.pod);
  }

  get sandbox(): ContainerDetails | undefined {
    return currentSandbox(this.containers.all);
  }

  facts(): PodFacts {
    const facts = this.#facts();
    const podIps = this.pod.spec.hostNetwork ? [facts.hostIp] : (this.sandbox?.ips ?? []);
    return { ...facts, podIps };
  }

  /** Where probes and hooks reach the pod from this node. */
  address(): string {
    const { podIps, hostIp } = this.facts();
    return podIps[0] ?? hostIp;
  }

  /** Lists the containers of the pod, and reads the logs that tell why some of them failed. */
  async observe(): Promise<void> {
    await this.containers.observe();
    this.#forgetEnded();
    const failed = this.containers.all.filter((one) => one.phase === "exited" && one.exitCode !== 0);
    await this.#logTails.keep(failed.filter((one) => this.#speaksInItsLog(one)).map(({ id }) => id));
  }

  /** The end of the log of a container that failed, where its specification asks for it. */
  logTail(id: string): string | undefined {
    return this.#logTails.find(id) || undefined;
  }

  /** What to do next. `status`: as reported last. */
  plan(probes: Parameters<PodMemory["view"]>[0], status: PodStatus | undefined): Plan {
    return planPod({
      pod: this.pod,
      containers: this.containers.all,
      memory: this.memory.view(probes),
      status,
      nowMs: this.#clock.nowMs(),
      resizeOf: (running, container) => resizeOf(container, this.knownResources(running)),
    });
  }

  /** A container was given these resources. */
  setResources(id: string, { resources }: Container): void {
    this.#resources.set(id, resources ?? {});
  }

  /** The resources that a container has: as far as known, else those of its specification. */
  resourcesOf(running: ContainerDetails): Container["resources"] {
    return this.knownResources(running) ?? this.findSpec(running.identity.container)?.resources ?? {};
  }

  /** As given here, or as reported by an edgecore before; undefined when an earlier release started it, which reported none. */
  knownResources({ id, uri }: ContainerDetails): Container["resources"] {
    const given = this.#resources.get(id);
    if (given) return given;
    const { containerStatuses = [], initContainerStatuses = [] } = this.pod.status ?? {};
    const all: readonly ContainerStatus[] = [...containerStatuses, ...initContainerStatuses];
    const reported = all.find((one) => one.containerID === uri)?.resources;
    if (reported) this.#resources.set(id, reported);
    return reported;
  }

  #forgetEnded(): void {
    for (const id of this.#resources.keys())
      if (this.containers.find(id)?.phase !== "running") this.#resources.delete(id);
  }

  #speaksInItsLog({ identity }: ContainerDetails): boolean {
    return this.findSpec(identity.container)?.terminationMessagePolicy === "FallbackToLogsOnError";
  }

  specs(): Container[] {
    const { containers, initContainers = [], ephemeralContainers = [] } = this.pod.spec;
    return [...containers, ...initContainers, ...ephemeralContainers];
  }

  findSpec(name: string): Container | undefined {
    return this.specs().find((one) => one.name === name);
  }
}

/** kubelet's reason of a pod that was ended because the node runs short of something. */
export const evictedReason = "Evicted";

/** A pod is admitted once, and does not run again when it has ended, also when nothing of it is left. */
export type Stage = "new" | "admitted" | "over";

/** By what is known of it at the start. */
export function stageOf({ status }: Pod): Stage {
  if (status?.phase === "Succeeded" || status?.phase === "Failed") return "over";
  return status?.startTime === undefined ? "new" : "admitted";
}

/** Whether labels, annotations and the resources of containers are the same. */
export function hasSameFacts(next: Pod, last: Pod): boolean {
  return isDeepStrictEqual(factsOf(next), factsOf(last));
}

function factsOf({ metadata, spec: { containers, initContainers = [] } }: Pod): unknown[] {
  const resources = [...containers, ...initContainers].map((one) => one.resources);
  return [metadata.labels, metadata.annotations, resources];
}

/** What the metadata of a pod say of its deletion, as far as it can be used. */
export function deletionOf({
  deletionTimestamp,
  deletionGracePeriodSeconds: seconds,
}: ObjectMeta): Partial<ObjectMeta> {
  return {
    deletionTimestamp: String(deletionTimestamp),
    ...(typeof seconds === "number" ? { deletionGracePeriodSeconds: seconds } : {}),
  };
}

/** Keys, as `configmap/<name>`, of the objects a pod is made from. */
export function referencesOf(pod: Pod): string[] {
  const { initContainers = [], ephemeralContainers = [] } = pod.spec;
  const containers = [...pod.spec.containers, ...initContainers, ...ephemeralContainers];
  const secrets = (pod.spec.imagePullSecrets ?? []).map(({ name }) => `secret/${name ?? ""}`);
  return [...volumeReferences(pod), ...containers.flatMap(envReferences), ...secrets];
}

/** The older one first. */
export function byAge(a: Pod, b: Pod): number {
  return ageOf(a) - ageOf(b);
}

function ageOf({ metadata }: Pod): number {
  return Date.parse(metadata.creationTimestamp ?? "") || 0;
}
