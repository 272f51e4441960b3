import type { Metas } from "#edge/store";
import { isRecord, tryJson } from "#shared/json";
import { withReportedStatus } from "#shared/patch";
import { runtimeHandlerField, serviceLinksField, type KubeObject } from "#shared/kube";
import type { DeviceName, StoredObject } from "#shared/topics";
import { apiVersionOf, deviceKind, heldKinds, type HeldKind } from "./kinds.ts";
import { NodeVersions } from "./versions.ts";

/** What a watch is sent. `object` is the last state of one that was removed. */
export interface ObjectEvent {
  readonly change: number;
  readonly kind: HeldKind;
  readonly removed: boolean;
  /** It was not there before. */
  readonly added: boolean;
  readonly object: KubeObject;
}

/** A Device with what this node itself knows of it. */
export type ShowDevice = (device: KubeObject) => KubeObject;

type Listener = (event: ObjectEvent) => void;

/** Changes kept for watches that continue: those of minutes on a busy node. */
const mostKept = 1024;
/** Their text, so that large objects do not stay in memory. */
const mostKeptBytes = 8 * 1024 * 1024;
/** Rows of this type hold the last reported status of a pod. */
const podPatchType = "podpatch";

/** The objects in the node's database, read when they are asked for, with versions of this run of edgecore. */
export class NodeObjects {
  readonly #metas: Metas;
  readonly #versions: NodeVersions;
  readonly #listeners = new Set<Listener>();
  /** Change of each row; 1 for those that have not changed in this run. */
  readonly #changeOf: Map<string, number>;
  /** The last change of Devices whose twins changed, which is not kept: the present state takes its place. */
  readonly #touched = new Map<string, number>();
  readonly #showDevice: ShowDevice;
  #kept: { readonly event: ObjectEvent; readonly bytes: number }[] = [];
  #keptBytes = 0;
  #change = 1;
  /** Changes up to this one are not kept any more. */
  #forgotten = 1;

  constructor(metas: Metas, random: number, showDevice: ShowDevice) {
    this.#metas = metas;
    this.#showDevice = showDevice;
    this.#versions = new NodeVersions(random);
    const keys = heldKinds.flatMap(({ type }) => metas.keysByType(type));
    this.#changeOf = new Map(keys.map((key) => [key, 1]));
  }

  get change(): number {
    return this.#change;
  }

  version(change: number): string {
    return this.#versions.format(change);
  }

  /** The change that a version stands for, if the changes after it are known. */
  changeAt(version: string): number | undefined {
    const change = this.#versions.parse(version);
    return change !== undefined && change >= this.#forgotten && change <= this.#change ? change : undefined;
  }

  /** Keys of the rows of a kind, in one namespace or all. */
  keys(kind: HeldKind, namespace: string | undefined): string[] {
    const keys = this.#metas.keysByType(kind.type);
    return namespace === undefined ? keys : keys.filter((key) => key.startsWith(`${namespace}/`));
  }

  find(kind: HeldKind, namespace: string, name: string): KubeObject | undefined {
    return this.read(kind, this.#metas.keyOf({ type: kind.type, namespace, name }));
  }

  /** The object of a row; undefined when there is none or it cannot be read. */
  read(kind: HeldKind, key: string): KubeObject | undefined {
    const object = parseObject(this.#metas.find(key)?.value);
    if (!object) return undefined;
    return this.#dressed(kind, this.#shown(kind, object), this.#changeOf.get(key) ?? 1);
  }

  /** All objects of a kind, for few of them. */
  list(kind: HeldKind): KubeObject[] {
    return this.keys(kind, undefined).flatMap((key) => this.read(kind, key) ?? []);
  }

  /** Namespaces of which there is an object. */
  namespaces(): string[] {
    const keys = heldKinds
      .filter(({ namespaced }) => namespaced)
      .flatMap((kind) => this.keys(kind, undefined));
    return [...new Set(keys.map((key) => key.slice(0, key.indexOf("/"))))];
  }

  /** A row was committed or removed. */
  stored({ type, namespace, name, removed }: StoredObject): void {
    const kind = heldKinds.find((held) => held.type === type);
    if (!kind) return;
    const key = this.#metas.keyOf({ type, namespace, name });
    const change = this.#change + 1;
    const added = !this.#changeOf.has(key);
    if (removed) this.#changeOf.delete(key);
    else this.#changeOf.set(key, change);
    this.#touched.delete(key);
    const object = removed ? this.#dressed(kind, removed, change) : this.read(kind, key);
    if (!object) return;
    this.#change = change;
    this.#keep({ change, kind, removed: removed !== undefined, added, object });
  }

  /** Twins or the state of a Device changed: those who watch get the Device as it is now. */
  touched({ namespace, name }: DeviceName): void {
    const kind = deviceKind;
    const key = this.#metas.keyOf({ type: kind.type, namespace, name });
    if (!this.#changeOf.has(key)) return;
    this.#change += 1;
    this.#changeOf.set(key, this.#change);
    this.#touched.set(key, this.#change);
    const event = this.#present(key, this.#change);
    for (const listener of this.#listeners) listener(event);
  }

  follow(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Events after a change. */
  since(change: number): ObjectEvent[] {
    const kept = this.#kept.map(({ event }) => event);
    const touched = [...this.#touched].map(([key, last]) => this.#present(key, last));
    const events = [...kept, ...touched].filter((event) => event.change > change);
    return events.toSorted((a, b) => a.change - b.change);
  }

  /** A Device as it is, read when somebody wants it: of most changes of twins nobody does. */
  #present(key: string, change: number): ObjectEvent {
    const read = (): KubeObject => this.read(deviceKind, key) ?? { metadata: {} };
    return {
      change,
      kind: deviceKind,
      removed: false,
      added: false,
      get object() {
        return read();
      },
    };
  }

  #shown(kind: HeldKind, object: KubeObject): KubeObject {
    if (kind.type === "pod") {
      const { [serviceLinksField]: _links, [runtimeHandlerField]: _handler, metadata, ...pod } = object;
      return withReportedStatus({ ...pod, metadata }, this.#podPatch(object));
    }
    return kind === deviceKind ? this.#showDevice(object) : object;
  }

  #keep(event: ObjectEvent): void {
    const bytes = JSON.stringify(event.object).length;
    this.#kept.push({ event, bytes });
    this.#keptBytes += bytes;
    let dropped = 0;
    while (this.#kept.length - dropped > mostKept || this.#keptBytes > mostKeptBytes) {
      const oldest = this.#kept[dropped];
      if (!oldest) break;
      this.#keptBytes -= oldest.bytes;
      this.#forgotten = oldest.event.change;
      dropped += 1;
    }
    if (dropped > 0) this.#kept = this.#kept.slice(dropped);
    for (const listener of this.#listeners) listener(event);
  }

  #podPatch({ metadata }: KubeObject): unknown {
    const { namespace = "", name = "" } = metadata;
    const row = this.#metas.find(this.#metas.keyOf({ type: podPatchType, namespace, name }));
    return row && tryJson(row.value);
  }

  /** As the API shows it: rows may lack kind and version, and versions of the API mean nothing here. */
  #dressed(kind: HeldKind, object: KubeObject, change: number): KubeObject {
    const metadata = { ...object.metadata, resourceVersion: this.version(change) };
    return { ...object, kind: kind.kind, apiVersion: apiVersionOf(kind), metadata };
  }
}

function parseObject(value: string | undefined): KubeObject | undefined {
  if (value === undefined) return undefined;
  const parsed = tryJson(value);
  // A v0.x cloud sends objects as text.
  const object = typeof parsed === "string" ? tryJson(parsed) : parsed;
  if (!isRecord(object) || !isRecord(object["metadata"])) return undefined;
  // The API made it.
  return object as KubeObject;
}
