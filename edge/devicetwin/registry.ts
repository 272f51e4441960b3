import type { Store } from "#edge/store";
import type { DeviceMapping } from "#shared/devices";
import { fromRow, type Twin } from "./twin.ts";
import type { OwnProperties } from "./update.ts";

export interface Attribute {
  readonly value: string;
  readonly optional: boolean;
  readonly type: string;
}

/** A device bound to this node. Only `Batch` changes the durable part. */
export interface Device {
  readonly id: string;
  name: string;
  description: string;
  state: string;
  lastOnline: string;
  readonly attributes: Map<string, Attribute>;
  readonly twins: Map<string, Twin>;
  /** Namespace and name of its Device object, once known. */
  object: { readonly namespace: string; readonly name: string } | undefined;
  /** How its clients spell it in topics: as `<id>` until somebody asked by `<namespace>/<name>`. */
  topicName: string;
  mapping: DeviceMapping | undefined;
  /** What its Device object and model list; undefined while there is no object. */
  own: OwnProperties | undefined;
}

export function newDevice(id: string, name: string, description: string): Device {
  return {
    id,
    name,
    description,
    state: "",
    lastOnline: "",
    attributes: new Map(),
    twins: new Map(),
    object: undefined,
    topicName: id,
    mapping: undefined,
    own: undefined,
  };
}

/** All devices by id, in memory; loaded once, then kept beside the tables. */
export class Registry {
  readonly #byId = new Map<string, Device>();

  load(store: Store): void {
    for (const row of store.devices.list()) {
      const device = newDevice(row.id, row.name, row.description);
      device.state = row.state;
      device.lastOnline = row.lastOnline;
      this.#byId.set(row.id, device);
    }
    for (const row of store.devices.listAttributes()) {
      const { value, optional, type } = row;
      this.#byId.get(row.deviceId)?.attributes.set(row.name, { value, optional, type });
    }
    for (const row of store.twins.each()) this.#byId.get(row.deviceId)?.twins.set(row.name, fromRow(row));
  }

  get size(): number {
    return this.#byId.size;
  }

  all(): IterableIterator<Device> {
    return this.#byId.values();
  }

  page(offset: number, limit: number): Device[] {
    const page: Device[] = [];
    let at = 0;
    for (const device of this.#byId.values()) {
      if (page.length >= limit) break;
      if (at >= offset) page.push(device);
      at += 1;
    }
    return page;
  }

  get(id: string): Device | undefined {
    return this.#byId.get(id);
  }

  /** The device a topic names as `<id>` or `<namespace>/<name>`. */
  find(written: string): Device | undefined {
    const exact = this.#byId.get(written);
    if (exact) return exact;
    const slash = written.indexOf("/");
    if (slash < 0) return this.#byId.get(`default/${written}`);
    const device = this.#byId.get(written.slice(slash + 1));
    const namespace = device?.object?.namespace ?? "default";
    return namespace === written.slice(0, slash) ? device : undefined;
  }

  /** The device of a Device object; its id is the name, or `<namespace>/<name>` where names clash. */
  ofObject(namespace: string, name: string): Device | undefined {
    const full = this.#byId.get(`${namespace}/${name}`);
    if (full) return full;
    const short = this.#byId.get(name);
    return short && (short.object?.namespace ?? namespace) === namespace ? short : undefined;
  }

  add(device: Device): void {
    this.#byId.set(device.id, device);
  }

  remove(id: string): void {
    this.#byId.delete(id);
  }
}
