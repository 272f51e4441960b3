import type { Clock } from "#shared/clock";
import { readDmi, AnyValues, type DmiVersion } from "#shared/dmi";
import type { DeviceEventRecorder } from "#shared/events";
import type { Definition } from "#shared/grpc";
import type { Logger } from "#shared/log";
import type { StoredObject } from "#shared/topics";
import type { Store } from "#edge/store";
import { AlphaMessages, BetaMessages, type Conversion } from "#edge/device-twin/dmi/conversion";
import { placeOf, type DmiObjects } from "#edge/device-twin/dmi/objects";
import { MapperCalls } from "./mapper-calls.ts";
import { mapperRow, readMapperRow, type Acknowledged, type MapperInfo } from "./mapper-info.ts";
import { MapperLink } from "./mapper-link.ts";

export interface MappersParts {
  readonly metas: Store["metas"];
  readonly objects: DmiObjects;
  readonly recorder: Pick<DeviceEventRecorder, "record" | "recordOnNode">;
  /** A mapper has registered for a protocol. */
  readonly onRegistered: (protocol: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a mapper gets when it registers. */
export interface MapperData {
  readonly modelList: readonly object[];
  readonly deviceList: readonly object[];
}

const rowType = "devicemapper";

/** A version of DMI, read once. */
interface Dialect {
  readonly definition: Definition;
  readonly conversion: Conversion;
}

/**
 * The mappers that registered, one for each protocol: a later one takes the place of an earlier one, as in KubeEdge. They and what
 * they have acknowledged are kept over restarts, as mappers register only when they start.
 */
export class Mappers implements AsyncDisposable {
  readonly #parts: MappersParts;
  readonly #links = new Map<string, MapperLink>();
  readonly #dialects = new Map<DmiVersion, Dialect>();

  constructor(parts: MappersParts) {
    this.#parts = parts;
    for (const { key, value } of parts.metas.listByType(rowType)) {
      const row = readMapperRow(value);
      if (row) this.#put(row.info, row.acknowledged);
      else parts.log.warn("the row of a mapper cannot be read", { key });
    }
    for (const link of this.#links.values()) link.compareAll();
  }

  get size(): number {
    return this.#links.size;
  }

  definition(version: DmiVersion): Definition {
    return this.#dialect(version).definition;
  }

  /** @param withData whether it gets everything with the answer; otherwise by calls */
  register(info: MapperInfo, withData: boolean): MapperData {
    const { objects, log } = this.#parts;
    this.#replace(info);
    const { conversion } = this.#dialect(info.dmi);
    const wanted = objects.wantedBy(info.protocol);
    const devices = new Map<string, string>();
    const models = new Map<string, string>();
    const data = { modelList: new Array<object>(), deviceList: new Array<object>() };
    for (const [key, digest] of withData ? wanted.models : []) {
      const model = objects.model(key);
      if (!model) continue;
      models.set(key, digest);
      data.modelList.push(conversion.model(model));
    }
    for (const [key, digest] of withData ? wanted.devices : []) {
      const given = objects.device(key);
      if (!given) continue;
      devices.set(key, digest);
      data.deviceList.push(conversion.device(given));
    }
    const link = this.#put(info, { devices, models });
    this.#save(link);
    link.compareAll();
    const { name: mapper, protocol, dmi, address: socket } = info;
    this.#parts.onRegistered(protocol);
    log.info("a mapper registered", { mapper, protocol, dmi, socket, devices: data.deviceList.length });
    return data;
  }

  /** Whether a mapper has registered for a protocol. */
  has(protocol: string): boolean {
    return this.#links.has(protocol);
  }

  /** A row was stored or removed. */
  changed(object: StoredObject): void {
    const keys = this.#parts.objects.changed(object);
    if (keys) for (const link of this.#links.values()) link.changed(keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link[Symbol.asyncDispose]()));
  }

  /** What was under way to an earlier one ends. */
  #replace({ name, protocol }: MapperInfo): void {
    const { metas, log, recorder } = this.#parts;
    const before = this.#links.get(protocol);
    if (!before) return;
    void before[Symbol.asyncDispose]();
    const earlier = before.info.name;
    if (earlier === name) return;
    metas.remove(this.#rowKey(earlier));
    log.warn("a mapper takes the place of another one", { mapper: name, earlier, protocol });
    const message = `Mapper "${name}" takes the place of "${earlier}" for protocol "${protocol}": a protocol has one mapper on a node`;
    void recorder.recordOnNode("MapperReplaced", message);
  }

  #put(info: MapperInfo, acknowledged: Acknowledged): MapperLink {
    const { objects, clock, log, recorder } = this.#parts;
    const { definition, conversion } = this.#dialect(info.dmi);
    const link: MapperLink = new MapperLink({
      info,
      acknowledged,
      objects,
      conversion,
      calls: new MapperCalls(info.address, definition.methods, clock),
      clock,
      log,
      onAcknowledged: () => this.#save(link),
      onRefused: (key, text) => this.#refused(info, key, text),
      onAway: (error) =>
        void recorder.recordOnNode(
          "MapperUnavailable",
          `Mapper "${info.name}" of protocol "${info.protocol}" does not answer at ${info.address}, and has not got the last changes: ${error}`,
        ),
    });
    this.#links.set(info.protocol, link);
    return link;
  }

  #refused({ name: mapper }: MapperInfo, key: string | undefined, text: string): void {
    const { objects, recorder } = this.#parts;
    const device = key === undefined ? undefined : objects.device(key)?.device;
    if (key === undefined || !device) return;
    const about = {
      apiVersion: "devices.kubeedge.io/v1beta1",
      kind: "Device",
      ...placeOf(key),
      ...(device.metadata.uid && { uid: device.metadata.uid }),
    };
    void recorder.record(about, "MapperRefused", `Mapper "${mapper}" refuses ${text}`);
  }

  /** A link that was replaced may still get answers. */
  #save(link: MapperLink): void {
    const { metas } = this.#parts;
    const { name, protocol } = link.info;
    if (this.#links.get(protocol) !== link) return;
    metas.put({ key: this.#rowKey(name), type: rowType, value: mapperRow(link.info, link.acknowledged) });
  }

  #rowKey(name: string): string {
    return this.#parts.metas.keyOf({ type: rowType, namespace: "node", name });
  }

  #dialect(version: DmiVersion): Dialect {
    const known = this.#dialects.get(version);
    if (known) return known;
    const definition = readDmi(version);
    const anyValues = new AnyValues(version === "v1beta1" ? definition : readDmi("v1beta1"));
    const conversion = version === "v1beta1" ? new BetaMessages(anyValues) : new AlphaMessages(anyValues);
    const dialect = { definition, conversion };
    this.#dialects.set(version, dialect);
    return dialect;
  }
}
