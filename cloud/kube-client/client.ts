import type { Clock } from "#shared/clock";
import { apiVersionOf, type KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";
import { Collection } from "./collection.ts";
import { createSender, type KubeOptions } from "./credentials.ts";
import {
  ignoreMissing,
  isKubeError,
  type KubeCallOptions,
  type Informer,
  type KubeClient,
  type KubeList,
  type ListOptions,
  type ObjectAt,
  type PatchOptions,
  type RemoveOptions,
  type ResourceType,
} from "./kube-client.ts";
import { Transport, type ApiRequest } from "./transport.ts";
import { pathOf, queryOf, selectorsOf } from "./urls.ts";

/** Objects a page, as kubectl and client-go ask for: a page of 1 MB objects is still sent within the time limit. */
const pageSize = 500;

const patchTypes = {
  strategic: "application/strategic-merge-patch+json",
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
} as const;

/**
 * The one client of the API server, embedded or real. Sends nothing before the first call.
 * @throws ConfigError when the options name no usable server
 */
export async function createKubeClient(
  options: KubeOptions,
  deps: { readonly clock: Clock; readonly log: Logger },
): Promise<KubeClient> {
  const sender = await createSender(options, deps.clock);
  return new Client(new Transport(sender, deps.clock), deps.clock, deps.log);
}

interface SharedCollection {
  readonly collection: Collection<KubeObject>;
  /** Informers not disposed yet. */
  users: number;
}

/** Objects come back as the type the caller expects of the resource: the API server vouches for their shape. */
class Client implements KubeClient {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #shared = new Map<string, SharedCollection>();

  constructor(transport: Transport, clock: Clock, log: Logger) {
    this.#transport = transport;
    this.#clock = clock;
    this.#log = log;
  }

  async get<T extends KubeObject>(
    type: ResourceType,
    target: ObjectAt,
    options: KubeCallOptions & {
      readonly subresource?: string;
      readonly query?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<T> {
    const { subresource, query = {} } = options;
    const path = `${pathOf(type, { ...target, subresource })}${queryOf(query)}`;
    return this.#object({ method: "GET", path, signal: options.signal });
  }

  async find<T extends KubeObject>(
    type: ResourceType,
    target: ObjectAt,
    options?: KubeCallOptions,
  ): Promise<T | undefined> {
    return ignoreMissing(this.get<T>(type, target, options));
  }

  async list<T extends KubeObject>(type: ResourceType, options: ListOptions = {}): Promise<KubeList<T>> {
    try {
      return await this.#listBy<T>(pageSize, type, options);
    } catch (error) {
      if (!isKubeError(error, 410)) throw error;
      // The continue token expired while pages were read: a single page needs none.
      return this.#listBy<T>(undefined, type, options);
    }
  }

  async create<T extends KubeObject>(type: ResourceType, object: T, options?: KubeCallOptions): Promise<T> {
    const path = pathOf(type, { namespace: object.metadata.namespace });
    return this.#object({ method: "POST", path, body: object, signal: options?.signal });
  }

  async replace<T extends KubeObject>(
    type: ResourceType,
    object: T,
    options: KubeCallOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const { name, namespace } = object.metadata;
    const path = pathOf(type, { name: name ?? "", namespace, subresource: options.subresource });
    return this.#object({ method: "PUT", path, body: object, signal: options.signal });
  }

  async patch<T extends KubeObject>(
    type: ResourceType,
    target: ObjectAt,
    patch: unknown,
    options: PatchOptions,
  ): Promise<T> {
    return this.#object({
      method: "PATCH",
      path: pathOf(type, { ...target, subresource: options.subresource }),
      body: patch,
      contentType: patchTypes[options.type],
      signal: options.signal,
    });
  }

  async remove(type: ResourceType, target: ObjectAt, options: RemoveOptions = {}): Promise<void> {
    const body = {
      apiVersion: "v1",
      kind: "DeleteOptions",
      ...(options.graceSeconds === undefined ? {} : { gracePeriodSeconds: options.graceSeconds }),
      ...(options.uid === undefined ? {} : { preconditions: { uid: options.uid } }),
      ...(options.propagation === undefined ? {} : { propagationPolicy: options.propagation }),
    };
    const path = pathOf(type, target);
    await this.#transport.json({ method: "DELETE", path, body, signal: options.signal });
  }

  async createSubresource<T extends KubeObject>(
    type: ResourceType,
    target: ObjectAt,
    subresource: string,
    ...[body, options]: [body: KubeObject, options?: KubeCallOptions]
  ): Promise<T> {
    const path = pathOf(type, { ...target, subresource });
    return this.#object({ method: "POST", path, body, signal: options?.signal });
  }

  informer<T extends KubeObject>(type: ResourceType, options: Omit<ListOptions, "signal"> = {}): Informer<T> {
    const key = pathOf(type, options) + queryOf(selectorsOf(options));
    const shared = this.#shared.get(key) ?? { collection: this.#collect(type, options), users: 0 };
    shared.users += 1;
    this.#shared.set(key, shared);
    // Callers of one collection agree on its kind, which only they know.
    return informerOf<T>(shared.collection as unknown as Collection<T>, async () => {
      shared.users -= 1;
      if (shared.users > 0) return;
      this.#shared.delete(key);
      await shared.collection[Symbol.asyncDispose]();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#shared.values()];
    this.#shared.clear();
    await Promise.all(all.map(({ collection }) => collection[Symbol.asyncDispose]()));
  }

  #collect(type: ResourceType, options: Omit<ListOptions, "signal">): Collection<KubeObject> {
    const source = {
      name: type.plural,
      list: (signal: AbortSignal) => this.list(type, { ...options, signal }),
      watch: (version: string, timeoutSeconds: number, signal: AbortSignal) => {
        const query = queryOf({
          ...selectorsOf(options),
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: version,
          timeoutSeconds,
        });
        return this.#transport.open(pathOf(type, options) + query, signal);
      },
    };
    return new Collection(source, this.#clock, this.#log);
  }

  async #listBy<T extends KubeObject>(
    limit: number | undefined,
    type: ResourceType,
    options: ListOptions,
  ): Promise<KubeList<T>> {
    const items: T[] = [];
    let next: string | undefined;
    let resourceVersion = "";
    do {
      const query = queryOf({ ...selectorsOf(options), limit, continue: next });
      const path = pathOf(type, { namespace: options.namespace }) + query;
      // The caller knows the kind; the API server validated the objects.
      const page = (await this.#transport.json({ method: "GET", path, signal: options.signal })) as Page<T>;
      for (const item of page.items ?? []) items.push(named(type, item));
      resourceVersion = page.metadata?.resourceVersion ?? resourceVersion;
      next = page.metadata?.continue;
    } while (next);
    return { items, resourceVersion };
  }

  async #object<T extends KubeObject>(request: ApiRequest): Promise<T> {
    // The caller knows the kind; the API server validated the object.
    return (await this.#transport.json(request)) as T;
  }
}

interface Page<T> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: T[];
}

/** Items of a list carry no apiVersion and kind; objects of watch events do. */
function named<T extends KubeObject>(type: ResourceType, item: T): T {
  item.apiVersion ??= apiVersionOf(type);
  item.kind ??= type.kind;
  return item;
}

/** One user of a shared collection: disposing it removes its handlers. */
function informerOf<T extends KubeObject>(
  collection: Collection<T>,
  release: () => Promise<void>,
): Informer<T> {
  const watches = new DisposableStack();
  let released: Promise<void> | undefined;
  return {
    synced: collection.synced,
    get: (key) => collection.copy.get(key),
    list: () => collection.copy.values(),
    watch: (handler) => watches.use(collection.watch(handler)),
    [Symbol.asyncDispose]: () => {
      watches.dispose();
      return (released ??= release());
    },
  };
}
