import type { Clock } from "#shared/clock";
import { asError, describeError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { Conversion } from "#edge/device-twin/dmi/conversion";
import { placeOf, type ChangedKeys, type DmiObjects } from "#edge/device-twin/dmi/objects";
import { isAway, type MapperCalls, type MapperMethod } from "./mapper-calls.ts";
import type { Acknowledged, MapperInfo } from "./mapper-info.ts";

export interface MapperLinkParts {
  readonly info: MapperInfo;
  readonly acknowledged: Acknowledged;
  readonly objects: DmiObjects;
  readonly conversion: Conversion;
  readonly calls: MapperCalls;
  readonly clock: Clock;
  readonly log: Logger;
  /** What the mapper has acknowledged changed. */
  readonly onAcknowledged: () => void;
  /** @param key of a Device; undefined: it is about a model */
  readonly onRefused: (key: string | undefined, text: string) => void;
  /** A change could not be delivered for `awayMs`. */
  readonly onAway: (error: string) => void;
}

type Kind = "devices" | "models";

interface Task {
  readonly kind: Kind;
  readonly key: string;
}

interface Step {
  readonly method: MapperMethod;
  readonly request: object;
  /** Afterwards; undefined: the mapper does not have it any more. */
  readonly digest: string | undefined;
}

/** A mapper starts its server right after it registered; one that is gone is asked rarely. */
const firstRetryMs = 200;
const lastRetryMs = 60_000;
/** Longer than a mapper takes to restart. */
const awayMs = 60_000;

/**
 * Brings what changed to a mapper: models before the devices that need them, and removes them after; one call at a time. A call
 * that fails is repeated, with what is right then; a device that the mapper refuses holds up no other.
 */
export class MapperLink implements AsyncDisposable {
  readonly #parts: MapperLinkParts;
  readonly #stop = new AbortController();
  /** To be compared with what the mapper has. */
  readonly #due: Record<Kind, Set<string>> = { devices: new Set(), models: new Set() };
  /** The same, once it is time to try again. */
  readonly #later: Record<Kind, Set<string>> = { devices: new Set(), models: new Set() };
  #work: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #waits: Generator<number, never> | undefined;
  #awaySinceMs: number | undefined;
  #isAwayTold = false;

  constructor(parts: MapperLinkParts) {
    this.#parts = parts;
  }

  get info(): MapperInfo {
    return this.#parts.info;
  }

  get acknowledged(): Acknowledged {
    return this.#parts.acknowledged;
  }

  changed({ devices, models }: ChangedKeys): void {
    for (const key of devices) this.#due.devices.add(key);
    for (const key of models) this.#due.models.add(key);
    this.#start();
  }

  /** Compares everything the mapper is to have with what it has. */
  compareAll(): void {
    const { objects, acknowledged, info } = this.#parts;
    const wanted = objects.wantedBy(info.protocol);
    this.changed({
      devices: [...wanted.devices.keys(), ...acknowledged.devices.keys()],
      models: [...wanted.models.keys(), ...acknowledged.models.keys()],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#timer?.[Symbol.dispose]();
    this.#parts.calls[Symbol.dispose]();
    await this.#work;
  }

  #start(): void {
    if (this.#work || this.#stop.signal.aborted) return;
    this.#work = this.#run().finally(() => {
      this.#work = undefined;
      if (this.#due.devices.size + this.#due.models.size > 0) this.#start();
    });
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    try {
      for (const task of this.#tasks()) await this.#attempt(task);
      this.#answered();
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#postpone(error);
    }
    if (this.#later.devices.size + this.#later.models.size > 0) this.#retryLater();
    else this.#waits = undefined;
  }

  /** New models, then devices, then models that are not used any more; what came in meanwhile is done next. */
  *#tasks(): Generator<Task> {
    const models = [...this.#due.models];
    for (const key of models) if (this.#modelDigest(key) !== undefined) yield { kind: "models", key };
    for (const key of this.#due.devices) yield { kind: "devices", key };
    for (const key of models) if (this.#due.models.has(key)) yield { kind: "models", key };
  }

  /** @throws when the mapper is away */
  async #attempt({ kind, key }: Task): Promise<void> {
    const { calls, acknowledged, log, info, onAcknowledged, onRefused } = this.#parts;
    const step = kind === "models" ? this.#stepOfModel(key) : this.#stepOfDevice(key);
    this.#due[kind].delete(key);
    if (!step) return;
    try {
      await calls.call(step.method, step.request, this.#stop.signal);
    } catch (error) {
      this.#later[kind].add(key);
      if (isAway(error)) throw error;
      const text = `${step.method}: ${asError(error).message}`;
      log.warn("a mapper refuses a change", { mapper: info.name, of: key, error: text });
      onRefused(kind === "devices" ? key : undefined, text);
      return;
    }
    if (step.digest === undefined) acknowledged[kind].delete(key);
    else acknowledged[kind].set(key, step.digest);
    onAcknowledged();
  }

  #stepOfDevice(key: string): Step | undefined {
    const { objects, acknowledged, conversion, info } = this.#parts;
    const digest = objects.deviceDigest(key, info.protocol);
    const before = acknowledged.devices.get(key);
    if (digest === before) return undefined;
    const { namespace: deviceNamespace, name: deviceName } = placeOf(key);
    const given = digest === undefined ? undefined : objects.device(key);
    if (!given) {
      return before === undefined
        ? undefined
        : { method: "RemoveDevice", request: { deviceName, deviceNamespace }, digest: undefined };
    }
    const method = before === undefined ? "RegisterDevice" : "UpdateDevice";
    return { method, request: { device: conversion.device(given) }, digest };
  }

  #stepOfModel(key: string): Step | undefined {
    const { objects, acknowledged, conversion } = this.#parts;
    const digest = this.#modelDigest(key);
    const before = acknowledged.models.get(key);
    if (digest === before) return undefined;
    const { namespace: modelNamespace, name: modelName } = placeOf(key);
    const model = digest === undefined ? undefined : objects.model(key);
    if (!model) {
      return before === undefined
        ? undefined
        : { method: "RemoveDeviceModel", request: { modelName, modelNamespace }, digest: undefined };
    }
    const method = before === undefined ? "CreateDeviceModel" : "UpdateDeviceModel";
    return { method, request: { model: conversion.model(model) }, digest };
  }

  #modelDigest(key: string): string | undefined {
    return this.#parts.objects.modelDigest(key, this.info.protocol);
  }

  #answered(): void {
    const { log, info } = this.#parts;
    if (this.#awaySinceMs !== undefined) log.info("a mapper answers again", { mapper: info.name });
    this.#awaySinceMs = undefined;
    this.#isAwayTold = false;
  }

  /** The mapper is away: all that was due is tried later. */
  #postpone(error: unknown): void {
    const { clock, log, info, onAway } = this.#parts;
    for (const kind of ["devices", "models"] as const) {
      for (const key of this.#due[kind]) this.#later[kind].add(key);
      this.#due[kind].clear();
    }
    const text = describeError(error);
    const nowMs = clock.monotonicMs();
    if (this.#awaySinceMs === undefined)
      log.warn("a mapper does not answer, retrying", {
        mapper: info.name,
        socket: info.address,
        error: text,
      });
    this.#awaySinceMs ??= nowMs;
    if (this.#isAwayTold || nowMs - this.#awaySinceMs < awayMs) return;
    this.#isAwayTold = true;
    onAway(text);
  }

  #retryLater(): void {
    const { clock } = this.#parts;
    if (this.#timer || this.#stop.signal.aborted) return;
    this.#waits ??= backoff({ firstMs: firstRetryMs, capMs: lastRetryMs, random: () => clock.random() });
    this.#timer = clock.after(this.#waits.next().value, () => {
      this.#timer = undefined;
      const [devices, models] = [[...this.#later.devices], [...this.#later.models]];
      this.#later.devices.clear();
      this.#later.models.clear();
      this.changed({ devices, models });
    });
  }
}
