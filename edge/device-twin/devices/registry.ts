import type { Store } from "#edge/store";
import { twinFromRow } from "#edge/device-twin/twins";
import { newDevice, type BoundDevice } from "./device.ts";
import type { MemberName } from "./member-name.ts";

/** All devices of the node by id, in memory; loaded at start, then kept in step with the store by `GroupCommit`. */
export class DeviceRegistry {
  readonly #byId = new Map<string, BoundDevice>();
  /** Ids with a namespace, by the name in them. */
  readonly #qualified = new Map<string, Set<string>>();

  /** Loads devices, attributes and twins from the store. */
  load(store: Pick<Store, "devices" | "twins">): void {
    for (const row of store.devices.list()) {
      const device = newDevice(row.id, row.name, row.description);
      device.state = row.state;
      device.lastOnline = row.lastOnline;
      this.add(device);
    }
    for (const row of store.devices.listAttributes()) {
      const { value, optional, type } = row;
      this.#byId.get(row.deviceId)?.attributes.set(row.name, { value, optional, type });
    }
    for (const row of store.twins.each()) this.#byId.get(row.deviceId)?.twins.set(row.name, twinFromRow(row));
  }

  get size(): number {
    return this.#byId.size;
  }

  all(): IterableIterator<BoundDevice> {
    return this.#byId.values();
  }

  /** At most `limit` devices in the order they were added, without the first `offset`. */
  page(offset: number, limit: number): BoundDevice[] {
    const page: BoundDevice[] = [];
    let index = 0;
    for (const device of this.#byId.values()) {
      if (page.length >= limit) break;
      if (index >= offset) page.push(device);
      index += 1;
    }
    return page;
  }

  get(id: string): BoundDevice | undefined {
    return this.#byId.get(id);
  }

  /** The device that a topic names as `<id>` or `<namespace>/<name>`. */
  find(topicName: string): BoundDevice | undefined {
    const exact = this.#byId.get(topicName);
    if (exact) return exact;
    const slash = topicName.indexOf("/");
    if (slash < 0) return this.#byId.get(`default/${topicName}`);
    const device = this.#byId.get(topicName.slice(slash + 1));
    const namespace = device?.object?.namespace ?? "default";
    return namespace === topicName.slice(0, slash) ? device : undefined;
  }

  /**
   * The device that a member is. With a namespace it is the device of that Device object. Without one, as from
   * KubeEdge's cloudcore, the id decides; it may have changed between `<namespace>/<name>` and the name alone.
   */
  member({ id, name, namespace, uid }: MemberName): BoundDevice | undefined {
    if (namespace === undefined) return this.#ofId(id);
    const device = this.ofObject(namespace, name);
    return device && isOfUid(device, uid) ? device : undefined;
  }

  /** Another device (by its uid) with the namespace and name of the member. */
  namesake({ name, namespace, uid }: MemberName): BoundDevice | undefined {
    const device = namespace === undefined ? undefined : this.ofObject(namespace, name);
    return device && !isOfUid(device, uid) ? device : undefined;
  }

  #ofId(id: string): BoundDevice | undefined {
    const exact = this.#byId.get(id);
    if (exact || id.includes("/")) return exact ?? this.find(id);
    const [only, ...others] = this.#qualified.get(id) ?? [];
    return only !== undefined && others.length === 0 ? this.#byId.get(only) : undefined;
  }

  /** The device of a Device object; its id is the name, or `<namespace>/<name>` where names clash. */
  ofObject(namespace: string, name: string): BoundDevice | undefined {
    const full = this.#byId.get(`${namespace}/${name}`);
    if (full) return full;
    const short = this.#byId.get(name);
    return short && (short.object?.namespace ?? namespace) === namespace ? short : undefined;
  }

  /** The id for a new device: the name alone, unless another device has it. Without a namespace the given id. */
  freeId({ id, name, namespace }: Pick<MemberName, "id" | "name" | "namespace">): string {
    if (namespace === undefined) return id;
    return this.#byId.has(name) ? `${namespace}/${name}` : name;
  }

  add(device: BoundDevice): void {
    this.#byId.set(device.id, device);
    const name = nameIn(device.id);
    if (name === undefined) return;
    const ids = this.#qualified.get(name) ?? new Set<string>();
    this.#qualified.set(name, ids.add(device.id));
  }

  remove(id: string): void {
    this.#byId.delete(id);
    const name = nameIn(id);
    if (name === undefined) return;
    const ids = this.#qualified.get(name);
    ids?.delete(id);
    if (ids?.size === 0) this.#qualified.delete(name);
  }
}

/** Whether it may be the device with that uid: an unknown uid matches any. */
function isOfUid({ object }: BoundDevice, uid: string | undefined): boolean {
  return object?.uid === undefined || uid === undefined || object.uid === uid;
}

/** The name in `<namespace>/<name>`; undefined for a name alone. */
function nameIn(id: string): string | undefined {
  const slash = id.indexOf("/");
  return slash < 0 ? undefined : id.slice(slash + 1);
}
