import { randomUUID } from "node:crypto";
import type { BootTime, Clock } from "#shared/clock";
import { isRecord, recordOf } from "#shared/json";
import type { Device } from "#shared/kube";
import type { Desired, DeviceName, LocalDesiredValue } from "#shared/topics";
import type { Store } from "#edge/store";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { parseJson } from "#edge/device-twin/twins";

/** A desired value that was set on this node, until the cloud has decided about it. */
export interface LocalValue {
  readonly id: string;
  readonly value: Desired;
  /** As `LocalDesiredValue`. */
  readonly bases: readonly Desired[];
  /** When it was set: by the wall clock, milliseconds since 1970, and since the machine was started. */
  readonly madeMs: number;
  readonly boot: BootTime;
}

export interface LocalValuesOfDevice {
  readonly uid: string;
  readonly values: ReadonlyMap<string, LocalValue>;
}

export interface LocalValuesParts {
  readonly store: Pick<Store, "metas">;
  readonly commit: Pick<GroupCommit, "write" | "onRollback">;
  readonly clock: Pick<Clock, "nowMs" | "bootTime">;
}

const rowType = "devicedesired";
/** Of the row of one Device; the cloud takes four times as much. */
const largestRow = 64 * 1024;
/** A base for each attempt without an answer; of more, the oldest may count as changed by somebody else. */
const mostBases = 16;

/** The desired values that were set on this node and are under way to the cloud, in memory and on disk. */
export class LocalValues {
  readonly #parts: LocalValuesParts;
  readonly #devices = new Map<string, LocalValuesOfDevice>();
  /** Values that were not sent since they were set: the API cannot have them. */
  readonly #unsent = new Set<string>();

  constructor(parts: LocalValuesParts) {
    this.#parts = parts;
    for (const { key, value } of parts.store.metas.listByType(rowType)) {
      const place = parts.store.metas.nameOf(key);
      const read = readRow(value);
      if (place && read) this.#devices.set(keyOf(place), read);
    }
  }

  /** Devices with values that are under way. */
  places(): DeviceName[] {
    return [...this.#devices.keys()].map((key) => {
      const [namespace = "", name = ""] = key.split("/");
      return { namespace, name };
    });
  }

  of(place: DeviceName): LocalValuesOfDevice | undefined {
    return this.#devices.get(keyOf(place));
  }

  /** The Device with the values that were set here. */
  over<T extends Device>(object: T): T {
    const { namespace = "", name = "", uid } = object.metadata;
    const local = this.of({ namespace, name });
    if (!local || local.uid !== uid) return object;
    const properties = (object.spec?.properties ?? []).map((property) => {
      const value = local.values.get(property.name)?.value;
      if (value === undefined) return property;
      const { desired, ...rest } = property;
      return value === null ? rest : { ...rest, desired: { ...desired, value } };
    });
    return { ...object, spec: { ...object.spec, properties } };
  }

  /**
   * Adds values that are set now to the commit. @param object the Device as the cloud has it, as far as is known here
   * @returns false when it would be too much to keep
   */
  set(place: DeviceName, object: Device, values: ReadonlyMap<string, Desired>): boolean {
    const before = this.of(place)?.values ?? new Map<string, LocalValue>();
    const made = [...values].map(([property, value]) => {
      const replaced = before.get(property);
      const bases = replaced ? this.#basesAfter(replaced) : [desiredIn(object, property)];
      return [property, this.#make(value, bases)] as const;
    });
    const next = new Map([...before, ...made]);
    const local = { uid: object.metadata.uid ?? "", values: next };
    if (Buffer.byteLength(rowText(local)) > largestRow) return false;
    for (const [property, { id }] of made) {
      this.#unsent.delete(before.get(property)?.id ?? "");
      this.#unsent.add(id);
    }
    this.#put(place, local);
    return true;
  }

  /** They are on their way: from now on the API may have them. */
  sending(place: DeviceName): LocalValuesOfDevice | undefined {
    const local = this.of(place);
    for (const { id } of local?.values.values() ?? []) this.#unsent.delete(id);
    return local;
  }

  /** The cloud has decided about these: what was set since stays under way. */
  settle(place: DeviceName, sent: LocalValuesOfDevice): void {
    const { uid, values } = this.of(place) ?? sent;
    const isSettled = (property: string, { id }: LocalValue): boolean => sent.values.get(property)?.id === id;
    const left = new Map([...values].filter(([property, value]) => !isSettled(property, value)));
    this.#put(place, left.size === 0 ? undefined : { uid, values: left });
  }

  /** The Device is gone. */
  forget(place: DeviceName): void {
    if (this.of(place)) this.#put(place, undefined);
  }

  /** As they are sent, oldest first. */
  toSend({ values }: LocalValuesOfDevice): LocalDesiredValue[] {
    const { clock } = this.#parts;
    const [nowMs, boot] = [clock.nowMs(), clock.bootTime()];
    return [...values].map(([property, one]) => {
      const isSameBoot = boot.boot !== "" && boot.boot === one.boot.boot;
      const ageMs = isSameBoot ? boot.ms - one.boot.ms : nowMs - one.madeMs;
      return { property, value: one.value, bases: one.bases, ageMs, isByClock: !isSameBoot };
    });
  }

  #make(value: Desired, bases: readonly Desired[]): LocalValue {
    const { clock } = this.#parts;
    return { id: randomUUID(), value, bases, madeMs: clock.nowMs(), boot: clock.bootTime() };
  }

  #basesAfter({ id, value, bases }: LocalValue): readonly Desired[] {
    if (this.#unsent.has(id) || bases.includes(value)) return bases;
    return [...bases, value].slice(-mostBases);
  }

  #put(place: DeviceName, local: LocalValuesOfDevice | undefined): void {
    const { commit } = this.#parts;
    const key = keyOf(place);
    const before = this.#devices.get(key);
    const put = (one: LocalValuesOfDevice | undefined): unknown =>
      one ? this.#devices.set(key, one) : this.#devices.delete(key);
    put(local);
    commit.onRollback(() => put(before));
    commit.write(({ metas }) => {
      const row = metas.keyOf({ ...place, type: rowType });
      if (local) metas.put({ key: row, type: rowType, value: rowText(local) });
      else metas.remove(row);
    });
  }
}

function desiredIn({ spec }: Device, property: string): Desired {
  return spec?.properties?.find(({ name }) => name === property)?.desired?.value || null;
}

function keyOf({ namespace, name }: DeviceName): string {
  return `${namespace}/${name}`;
}

function rowText({ uid, values }: LocalValuesOfDevice): string {
  return JSON.stringify({ uid, values: [...values] });
}

function readRow(text: string): LocalValuesOfDevice | undefined {
  const { uid, values } = parseJson(text) ?? {};
  if (typeof uid !== "string" || !Array.isArray(values)) return undefined;
  const read = values.filter(isEntry).map(([name, value]) => [name, value] as const);
  return { uid, values: new Map(read) };
}

/** What this program wrote, unless the disk has damaged it. */
function isEntry(entry: unknown): entry is readonly [string, LocalValue] {
  if (!Array.isArray(entry) || typeof entry[0] !== "string" || !isRecord(entry[1])) return false;
  const { id, value, bases, madeMs, boot } = entry[1];
  const isDesired = value === null || typeof value === "string";
  const isTimed = typeof madeMs === "number" && typeof recordOf(boot)["ms"] === "number";
  return typeof id === "string" && isDesired && Array.isArray(bases) && isTimed;
}
