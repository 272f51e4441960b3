import { builtinKinds, kindsOfCrd, type KindInfo } from "#cloud/kube-api/kinds";
import { parseObject } from "#cloud/kube-api/schema";
import type { RevisionStore } from "#cloud/kube-api/store";
import { childOf, itemsOf, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";

export const crdResource = "apiextensions.k8s.io/customresourcedefinitions";

export interface ServedVersion {
  readonly group: string;
  readonly version: string;
  readonly kinds: readonly KindInfo[];
}

/** The resource of a kind in the store: `<group>/<plural>`, of the kind that it is stored as. */
export function resourceOf(kind: Pick<KindInfo, "group" | "plural" | "storedAs">): string {
  const { group, plural } = kind.storedAs ?? kind;
  return `${group}/${plural}`;
}

/** The kinds served now: the builtin ones and those of the established CustomResourceDefinitions. */
export class KindRegistry implements Disposable {
  readonly #store: RevisionStore;
  readonly #following: Disposable;
  #versions = new Map<string, ServedVersion>();
  /** What each revision of a definition serves. */
  #custom: ReadonlyMap<number, readonly KindInfo[]> = new Map();
  #kinds = new Map<string, KindInfo>();

  constructor(store: RevisionStore) {
    this.#store = store;
    this.#refresh();
    this.#following = store.follow(crdResource, () => this.#refresh());
  }

  find(group: string, version: string, plural: string): KindInfo | undefined {
    return this.#kinds.get(`${group}/${version}/${plural}`);
  }

  findKind(apiVersion: string, kind: string): KindInfo | undefined {
    return this.#versions.get(apiVersion)?.kinds.find((info) => info.kind === kind);
  }

  /** Any served version of a resource. */
  findResource(group: string, plural: string): KindInfo | undefined {
    return [...this.#kinds.values()].find((kind) => kind.group === group && kind.plural === plural);
  }

  /** The served kinds whose objects are stored together with those of a kind. */
  sharing(kind: KindInfo): KindInfo[] {
    const resource = resourceOf(kind);
    return [...this.#kinds.values()].filter((other) => other.stored && resourceOf(other) === resource);
  }

  version(apiVersion: string): ServedVersion | undefined {
    return this.#versions.get(apiVersion);
  }

  /** All served versions, core first, as discovery lists them. */
  versions(): ServedVersion[] {
    return [...this.#versions.values()];
  }

  /** Kinds of a group other than those one definition serves. */
  taken(group: string, crdName: string): KindInfo[] {
    return [...this.#kinds.values()].filter(
      (kind) => kind.group === group && kind.custom?.crdName !== crdName,
    );
  }

  [Symbol.dispose](): void {
    this.#following[Symbol.dispose]();
  }

  #refresh(): void {
    const all = [...builtinKinds(), ...this.#customKinds()];
    this.#kinds = new Map(all.map((kind) => [`${kind.group}/${kind.version}/${kind.plural}`, kind]));
    this.#versions = new Map(
      [...Map.groupBy(all, apiVersionOf)].map(([apiVersion, kinds]) => {
        const [{ group, version } = { group: "", version: "" }] = kinds;
        return [apiVersion, { group, version, kinds }];
      }),
    );
  }

  /** Only changed definitions are read again: one can be a megabyte, and there may be many. */
  #customKinds(): KindInfo[] {
    const known = new Map<number, readonly KindInfo[]>();
    for (const { revision } of this.#store.list(crdResource))
      known.set(revision, this.#custom.get(revision) ?? this.#read(revision));
    this.#custom = known;
    return [...known.values()].flat();
  }

  #read(revision: number): readonly KindInfo[] {
    const text = this.#store.text(revision);
    if (text === undefined) return [];
    const crd = parseObject(text);
    return isEstablished(crd) ? kindsOfCrd(crd) : [];
  }
}

function isEstablished(crd: JsonObject): boolean {
  return itemsOf(childOf(crd, "status"), "conditions").some(
    ({ type, status }) => type === "Established" && status === "True",
  );
}
