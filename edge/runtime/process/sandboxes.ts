import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import type { ContainerDetails, ContainerIdentity, ContainerSummary, RuntimeCode } from "#edge/runtime";
import { ownUser, type ProcessUsers } from "#edge/runtime/process/allowed";
import { newId, type ProcessRecords, type SandboxRecord } from "./records.ts";

export interface SandboxDeps {
  readonly records: ProcessRecords;
  readonly bootId: string;
  readonly config: Pick<ProcessUsers, "first" | "last">;
  readonly clock: Pick<Clock, "nowMs">;
}

/** Sandboxes of pods of processes: no more than a record each, which ends with the boot, and the user of the pod. */
export class ProcessSandboxes {
  readonly #deps: SandboxDeps;
  readonly #all: Map<string, SandboxRecord>;

  constructor(known: readonly SandboxRecord[], deps: SandboxDeps) {
    this.#deps = deps;
    this.#all = new Map(known.map((one) => [one.id, one]));
  }

  list(): ContainerSummary[] {
    return [...this.#all.values()].map((one) => ({
      id: one.id,
      identity: one.identity,
      phase: this.#phaseOf(one),
    }));
  }

  find(id: string): ContainerDetails | undefined {
    const record = this.#all.get(id);
    return record && this.#detailsOf(record);
  }

  /** Number of the user that the pod of a sandbox has for itself. */
  ownOf(id: string): number | undefined {
    return this.#all.get(id)?.own;
  }

  /** That of an earlier sandbox of the pod, or a free one. @throws AppError "engine-refused" when there is none */
  userFor(podUid: string): number {
    const { config } = this.#deps;
    const all = [...this.#all.values()];
    const isInRange = (own: number): boolean => own >= config.first && own <= config.last;
    const before = all.find(({ identity, own }) => identity.podUid === podUid && isInRange(own));
    const found = before?.own ?? ownUser(podUid, new Set(all.map(({ own }) => own)), config);
    if (found !== undefined) return found;
    const message = "Cannot run a pod: all users of edged.processes.user-range are taken";
    throw new AppError("engine-refused" satisfies RuntimeCode, message);
  }

  add(identity: ContainerIdentity): ContainerDetails {
    const { records, bootId, clock } = this.#deps;
    const record: SandboxRecord = {
      kind: "sandbox",
      id: newId(),
      identity,
      createdAtMs: clock.nowMs(),
      bootId,
      own: this.userFor(identity.podUid),
    };
    records.add(record);
    this.#all.set(record.id, record);
    return this.#detailsOf(record);
  }

  /** @returns undefined when it had been stopped, or does not exist */
  stop(id: string): SandboxRecord | undefined {
    const { records, clock } = this.#deps;
    const record = this.#all.get(id);
    if (!record || record.stoppedAtMs !== undefined) return undefined;
    const stopped = { ...record, stoppedAtMs: clock.nowMs() };
    records.write(stopped);
    this.#all.set(id, stopped);
    return stopped;
  }

  /** @returns undefined when it does not exist */
  remove(id: string): SandboxRecord | undefined {
    const record = this.#all.get(id);
    if (!record) return undefined;
    this.#deps.records.remove(id);
    this.#all.delete(id);
    return record;
  }

  #phaseOf({ bootId, stoppedAtMs }: SandboxRecord): "running" | "exited" {
    return bootId === this.#deps.bootId && stoppedAtMs === undefined ? "running" : "exited";
  }

  #detailsOf(record: SandboxRecord): ContainerDetails {
    const { id, identity, createdAtMs, stoppedAtMs } = record;
    const phase = this.#phaseOf(record);
    return {
      id,
      identity,
      phase,
      uri: `process://${id}`,
      image: "",
      imageId: "",
      imageRef: "",
      pid: 0,
      startedAtMs: createdAtMs,
      finishedAtMs: phase === "exited" ? (stoppedAtMs ?? createdAtMs) : undefined,
      exitCode: 0,
      oomKilled: false,
      error: "",
      ips: [],
    };
  }
}
