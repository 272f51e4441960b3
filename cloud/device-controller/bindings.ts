import { objectKey, type Device } from "#shared/kube";
import type { DeviceMember, DevicePlace } from "#shared/topics";

/** Which devices are bound to which node: an index beside the informer, so that no lookup walks over all of them. */
export class Bindings {
  readonly #devices = new Map<string, Map<string, Device>>();
  /** node → model key → devices of it there */
  readonly #users = new Map<string, Map<string, Set<string>>>();
  /** node → device name → devices of that name there */
  readonly #names = new Map<string, Map<string, Set<string>>>();

  add(device: Device): void {
    const node = nodeOf(device);
    if (node === undefined) return;
    const key = objectKey(device);
    entry(this.#devices, node, () => new Map<string, Device>()).set(key, device);
    nested(this.#users, node, modelKeyOf(device)).add(key);
    nested(this.#names, node, device.metadata.name ?? "").add(key);
  }

  remove(device: Device): void {
    const node = nodeOf(device);
    if (node === undefined) return;
    const key = objectKey(device);
    const devices = this.#devices.get(node);
    devices?.delete(key);
    if (devices?.size === 0) this.#devices.delete(node);
    drop(this.#users, [node, modelKeyOf(device)], key);
    drop(this.#names, [node, device.metadata.name ?? ""], key);
  }

  /** Those with devices. */
  nodes(): string[] {
    return [...this.#devices.keys()];
  }

  devicesOf(node: string): Device[] {
    return [...(this.#devices.get(node)?.values() ?? [])];
  }

  modelsOf(node: string): string[] {
    return [...(this.#users.get(node)?.keys() ?? [])].filter((key) => key !== "");
  }

  uses(node: string, modelKey: string): boolean {
    return (this.#users.get(node)?.get(modelKey)?.size ?? 0) > 0;
  }

  nodesUsing(modelKey: string): string[] {
    return [...this.#users].filter(([, models]) => models.has(modelKey)).map(([node]) => node);
  }

  /** Whether a device of that key, `<namespace>/<name>`, is on the node. */
  has(node: string, key: string): boolean {
    return this.#devices.get(node)?.has(key) === true;
  }

  /**
   * The device a node means by an id: `<namespace>/<name>`, or the name alone. Where the node sends the uid it is that one:
   * the node may have another id for it than `idOf` has, when there are several of the name.
   */
  find(node: string, id: string, uid?: string): Device | undefined {
    if (uid !== undefined) return this.#ofUid(node, id, uid);
    const devices = this.#devices.get(node);
    if (id.includes("/")) return devices?.get(id);
    const keys = this.#names.get(node)?.get(id);
    const first = [...(keys ?? [])].toSorted((a, b) => this.#age(devices?.get(a), devices?.get(b)))[0];
    return first === undefined ? undefined : devices?.get(first);
  }

  /** The id of a device on its node: its name; `<namespace>/<name>` when an older device has the name there. */
  idOf(device: Device): string {
    const name = device.metadata.name ?? "";
    const holder = this.find(nodeOf(device) ?? "", name);
    return holder === undefined || objectKey(holder) === objectKey(device) ? name : objectKey(device);
  }

  #ofUid(node: string, id: string, uid: string): Device | undefined {
    const devices = this.#devices.get(node);
    const keys = this.#names.get(node)?.get(id.slice(id.indexOf("/") + 1));
    return [...(keys ?? [])].map((key) => devices?.get(key)).find((device) => device?.metadata.uid === uid);
  }

  #age(a: Device | undefined, b: Device | undefined): number {
    const left = `${a?.metadata.creationTimestamp} ${a?.metadata.uid}`;
    return left < `${b?.metadata.creationTimestamp} ${b?.metadata.uid}` ? -1 : 1;
  }
}

export function nodeOf(device: Device): string | undefined {
  return device.spec?.nodeName || undefined;
}

export function devicePlaceOf(device: Device | undefined): DevicePlace | undefined {
  return device && { node: nodeOf(device) };
}

/** A device in the list of members of its node. */
export function memberOf(id: string, device: Device): DeviceMember {
  const description = device.metadata.labels?.["description"];
  const { name = id, namespace = "default", uid = "" } = device.metadata;
  return { id, name, ...(description ? { description } : {}), namespace, uid };
}

export function deviceMembersOf(bindings: Bindings, node: string): DeviceMember[] {
  return bindings.devicesOf(node).map((device) => memberOf(bindings.idOf(device), device));
}

/** `<namespace>/<name>` of the model of a device, empty when it has none. */
export function modelKeyOf(device: Device): string {
  const name = device.spec?.deviceModelRef?.name;
  return name ? `${device.metadata.namespace}/${name}` : "";
}

function entry<V>(map: Map<string, V>, key: string, make: () => V): V {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

function nested(map: Map<string, Map<string, Set<string>>>, outer: string, inner: string): Set<string> {
  return entry(
    entry(map, outer, () => new Map<string, Set<string>>()),
    inner,
    () => new Set<string>(),
  );
}

function drop(
  map: Map<string, Map<string, Set<string>>>,
  [outer, inner]: readonly [string, string],
  value: string,
): void {
  const sets = map.get(outer);
  const set = sets?.get(inner);
  set?.delete(value);
  if (set?.size === 0) sets?.delete(inner);
  if (sets?.size === 0) map.delete(outer);
}
