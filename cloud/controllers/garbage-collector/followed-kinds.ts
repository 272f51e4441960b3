import { builtinKinds } from "#cloud/kube-api/kinds";
import { resources, type Informer, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { Condition, KubeObject, OwnerReference } from "#shared/kube";

/** A kind of object and the informer of its objects. */
export interface FollowedKind {
  readonly type: ResourceType;
  readonly informer: Informer<KubeObject>;
}

interface CustomResourceDefinition extends KubeObject {
  spec?: {
    group: string;
    scope: string;
    names: { plural: string; kind: string };
    versions: { name: string; served: boolean; storage: boolean }[];
  };
  status?: { conditions?: Condition[] };
}

/** Events have no owners or dependents, and there are many. */
const ignored = new Set(["events"]);

/** Every kind whose objects may have owners or dependents: the built-in ones, and custom ones while they are served. */
export class FollowedKinds implements AsyncDisposable {
  readonly #kube: KubeClient;
  readonly #onKind: (kind: FollowedKind) => Disposable;
  readonly #kinds = new Map<string, FollowedKind & { readonly watch: Disposable }>();
  /** Ids by kind and group, as references name them. */
  readonly #byName = new Map<string, string>();
  readonly #definitions: Informer<CustomResourceDefinition>;
  readonly #following: Disposable;
  readonly #ending = new Set<Promise<void>>();

  /** `onKind` is called for each kind once; its result is disposed when the kind is no longer served. */
  constructor(kube: KubeClient, onKind: (kind: FollowedKind) => Disposable) {
    this.#kube = kube;
    this.#onKind = onKind;
    for (const kind of builtinKinds())
      if (kind.verbs.includes("watch") && !ignored.has(kind.plural)) this.#follow(kind);
    this.#definitions = kube.informer<CustomResourceDefinition>(resources.crds);
    this.#following = this.#definitions.watch({
      added: (definition) => this.#define(definition),
      updated: (definition) => this.#define(definition),
      removed: ({ metadata }) => this.#forget(metadata.name ?? ""),
    });
  }

  find(id: string): FollowedKind | undefined {
    return this.#kinds.get(id);
  }

  all(): FollowedKind[] {
    return [...this.#kinds.values()];
  }

  /** The kind a reference names, in any version. */
  ownerKind({ apiVersion, kind }: OwnerReference): FollowedKind | undefined {
    const slash = apiVersion.indexOf("/");
    const group = slash < 0 ? "" : apiVersion.slice(0, slash);
    return this.#kinds.get(this.#byName.get(`${kind}.${group}`) ?? "");
  }

  #define(definition: CustomResourceDefinition): void {
    const type = typeOf(definition);
    if (!type) return;
    const id = kindId(type);
    if (this.#kinds.get(id)?.type.version === type.version) return;
    this.#forget(id);
    this.#follow(type);
  }

  #follow({ group, version, plural, kind, namespaced }: ResourceType): void {
    const type = { group, version, plural, kind, namespaced };
    const followed = { type, informer: this.#kube.informer(type) };
    const id = kindId(type);
    this.#byName.set(`${kind}.${group}`, id);
    this.#kinds.set(id, { ...followed, watch: { [Symbol.dispose]: () => undefined } });
    this.#kinds.set(id, { ...followed, watch: this.#onKind(followed) });
  }

  #forget(id: string): void {
    const kind = this.#kinds.get(id);
    if (!kind) return;
    this.#kinds.delete(id);
    kind.watch[Symbol.dispose]();
    const ending = this.#end(kind);
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }

  async #end({ informer }: FollowedKind): Promise<void> {
    await informer[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#following[Symbol.dispose]();
    await this.#definitions[Symbol.asyncDispose]();
    for (const id of this.#kinds.keys()) this.#forget(id);
    await Promise.all(this.#ending);
  }
}

/** The kind that a definition defines, in its storage version if that is served; undefined until it is established. */
function typeOf({ spec, status }: CustomResourceDefinition): ResourceType | undefined {
  const isServed = ({ type, status: state }: Condition): boolean =>
    type === "Established" && state === "True";
  if (!spec || status?.conditions?.some(isServed) !== true) return undefined;
  const served = spec.versions.filter((version) => version.served);
  const version = served.find((candidate) => candidate.storage)?.name ?? served[0]?.name;
  if (version === undefined) return undefined;
  const { group, names, scope } = spec;
  const { plural, kind } = names;
  return { group, version, plural, kind, namespaced: scope === "Namespaced" };
}

/** As custom resource definitions are named: `widgets.example.com`; ids of the core group end in a dot. */
export function kindId({ group, plural }: ResourceType): string {
  return `${plural}.${group}`;
}
