import type { Database } from "bun:sqlite";

export interface Meta {
  /** the resource string as received, e.g. "default/pod/web-0" */
  readonly key: string;
  /** wire type, e.g. "pod" */
  readonly type: string;
  /** JSON text */
  readonly value: string;
}

/** What the row of an object is called. */
export interface MetaName {
  readonly type: string;
  readonly namespace: string;
  readonly name: string;
}

/** Key element of cluster-scoped objects. */
const noNamespace = "null";

/** Kubernetes objects by resource string: the desired state of this node. */
export class Metas {
  readonly #put;
  readonly #get;
  readonly #byType;
  readonly #keys;
  readonly #remove;

  constructor(db: Database) {
    this.#put = db.query<never, [string, string, string]>(
      "INSERT INTO meta (key, type, value) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET type = excluded.type, value = excluded.value",
    );
    this.#get = db.query<Meta, [string]>("SELECT key, type, value FROM meta WHERE key = ?");
    this.#byType = db.query<Meta, [string]>("SELECT key, type, value FROM meta WHERE type = ? ORDER BY key");
    this.#keys = db.query<{ key: string }, [string]>("SELECT key FROM meta WHERE type = ? ORDER BY key");
    this.#remove = db.query<never, [string]>("DELETE FROM meta WHERE key = ?");
  }

  /** The key of an object's row. */
  keyOf({ type, namespace, name }: MetaName): string {
    return `${namespace || noNamespace}/${type}/${name}`;
  }

  /** @returns undefined for a key that is none of an object. A name may hold slashes. */
  nameOf(key: string): MetaName | undefined {
    const [namespace, type, ...rest] = key.split("/");
    return namespace && type ? { namespace, type, name: rest.join("/") } : undefined;
  }

  put(meta: Meta): void {
    this.#put.run(meta.key, meta.type, meta.value);
  }

  find(key: string): Meta | undefined {
    return this.#get.get(key) ?? undefined;
  }

  listByType(type: string): Meta[] {
    return this.#byType.all(type);
  }

  keysByType(type: string): string[] {
    return this.#keys.all(type).map(({ key }) => key);
  }

  /** @returns whether a row was there */
  remove(key: string): boolean {
    return this.#remove.run(key).changes > 0;
  }
}
