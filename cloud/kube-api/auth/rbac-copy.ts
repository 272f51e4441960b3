import { parseKubeObject } from "#cloud/kube-api/schema";
import type { KubeObject } from "#shared/kube";
import type { User } from "./authenticator.ts";
import type { PolicyRule, RbacSource, RoleRef } from "./authorizer.ts";

/** As RevisionChange of the store, of which this room needs no more. */
interface RbacChange {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly key: string;
  readonly text: string;
}

/** Where roles and bindings are stored, as `<group>/<plural>` and `<namespace>/<name>`. */
export interface RbacStore {
  list(resource: string): readonly { readonly key: string; readonly revision: number }[];
  text(revision: number): string | undefined;
  follow(resource: string, follower: (changes: readonly RbacChange[]) => void): Disposable;
}

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

interface BindingObject extends KubeObject {
  readonly subjects?: readonly Subject[] | null;
  readonly roleRef: RoleRef;
}

interface Binding {
  readonly subjects: ReadonlySet<string>;
  readonly roleRef: RoleRef;
}

const group = "rbac.authorization.k8s.io";
const plurals = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"] as const;

/**
 * The stored roles and bindings, indexed by subject. Each is parsed once: a request costs what binds its user, however large
 * and many the bindings of others in the same namespace are.
 */
export class RbacCopy implements RbacSource, Disposable {
  readonly #rules = new Map<string, readonly PolicyRule[]>();
  readonly #bindings = new Map<string, Binding>();
  /** namespace ("" for cluster-wide ones) → subject → what binds it */
  readonly #bySubject = new Map<string, Map<string, Set<Binding>>>();
  readonly #following = new DisposableStack();

  constructor(store: RbacStore) {
    for (const plural of plurals) {
      const resource = `${group}/${plural}`;
      for (const { key, revision } of store.list(resource)) this.#put(plural, key, store.text(revision));
      const apply = (changes: readonly RbacChange[]): void => {
        for (const { key, type, text } of changes)
          this.#put(plural, key, type === "DELETED" ? undefined : text);
      };
      this.#following.use(store.follow(resource, apply));
    }
  }

  rules(
    plural: "clusterroles" | "roles",
    namespace: string,
    name: string,
  ): readonly PolicyRule[] | undefined {
    return this.#rules.get(`${plural}/${namespace}/${name}`);
  }

  bound(user: User, namespace: string): readonly RoleRef[] {
    const bySubject = this.#bySubject.get(namespace);
    if (!bySubject) return [];
    const found = new Map<string, RoleRef>();
    for (const subject of subjectsOf(user))
      for (const { roleRef } of bySubject.get(subject) ?? [])
        found.set(`${roleRef.kind}/${roleRef.name}`, roleRef);
    return [...found.values()];
  }

  [Symbol.dispose](): void {
    this.#following.dispose();
  }

  #put(plural: (typeof plurals)[number], key: string, text: string | undefined): void {
    const object = text === undefined ? undefined : parseKubeObject(text);
    // What is stored was validated as its kind when it was admitted.
    if (plural === "roles" || plural === "clusterroles") {
      const id = `${plural}/${key}`;
      if (object) this.#rules.set(id, (object["rules"] ?? []) as readonly PolicyRule[]);
      else this.#rules.delete(id);
      return;
    }
    const namespace = key.slice(0, key.indexOf("/"));
    this.#unbind(namespace, `${plural}/${key}`);
    if (object) this.#bind(namespace, `${plural}/${key}`, object as BindingObject);
  }

  #bind(namespace: string, id: string, { subjects, roleRef }: BindingObject): void {
    const names = new Set((subjects ?? []).map((subject) => nameOf(subject, namespace)));
    const binding = { subjects: names, roleRef: { kind: roleRef.kind, name: roleRef.name } };
    const bySubject = this.#bySubject.get(namespace) ?? new Map<string, Set<Binding>>();
    this.#bySubject.set(namespace, bySubject);
    this.#bindings.set(id, binding);
    for (const name of names) {
      const bound = bySubject.get(name);
      if (bound) bound.add(binding);
      else bySubject.set(name, new Set([binding]));
    }
  }

  #unbind(namespace: string, id: string): void {
    const binding = this.#bindings.get(id);
    const bySubject = this.#bySubject.get(namespace);
    if (!binding || !bySubject) return;
    this.#bindings.delete(id);
    for (const name of binding.subjects) {
      const bound = bySubject.get(name);
      bound?.delete(binding);
      if (bound?.size === 0) bySubject.delete(name);
    }
    if (bySubject.size === 0) this.#bySubject.delete(namespace);
  }
}

const ofAccounts = "system:serviceaccount:";

/** Service accounts are users, by a name of their own. */
function nameOf({ kind, name, namespace }: Subject, inside: string): string {
  if (kind === "ServiceAccount") return `User ${ofAccounts}${namespace ?? inside}:${name}`;
  return `${kind} ${name}`;
}

function subjectsOf({ name, groups }: User): string[] {
  return [`User ${name}`, ...groups.map((one) => `Group ${one}`)];
}
