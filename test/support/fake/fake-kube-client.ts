import { jsonPatch } from "#shared/patch";
import {
  KubeError,
  type KubeCallOptions,
  type Informer,
  type InformerHandler,
  type KubeClient,
  type KubeList,
  type ListOptions,
  type ObjectAt,
  type PatchOptions,
  type RemoveOptions,
  type ResourceType,
} from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import type { Json, JsonObject } from "#shared/json";
import { objectKey, type KubeObject } from "#shared/kube";
import { mergePatch, needsVersion, selectorMatches, fieldsMatch } from "./fake-kube-rules.ts";

export interface FakeCall {
  readonly verb: "get" | "list" | "create" | "replace" | "patch" | "remove" | "createSubresource";
  readonly plural: string;
  readonly key: string;
  readonly subresource?: string | undefined;
  readonly body?: unknown;
}

interface Collection {
  readonly type: ResourceType;
  readonly objects: Map<string, KubeObject>;
  readonly informers: Set<FakeInformer<KubeObject>>;
}

/**
 * The Kubernetes API in memory, for unit tests: resourceVersions, uids, 404 and 409, status apart from the rest,
 * finalizers, graceful deletion of bound pods, selectors and informers (notified asynchronously, in order).
 * No schemas, no defaults, no garbage collection: tests that depend on those use the embedded API server.
 */
export class FakeKubeClient implements KubeClient {
  /** Every call so far, oldest first. */
  readonly calls: FakeCall[] = [];
  readonly #collections = new Map<string, Collection>();
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #failures: {
    matches: (call: FakeCall) => boolean;
    error: Error;
    left: number;
  }[] = [];
  #version = 100;

  constructor(options: { readonly clock?: Pick<Clock, "nowMs"> } = {}) {
    this.#clock = options.clock ?? { nowMs: () => Date.now() };
  }

  /** The next `times` calls that match reject with `error`. */
  fail(matches: (call: FakeCall) => boolean, error: Error, times = 1): void {
    this.#failures.push({ matches, error, left: times });
  }

  /** Ends what `fail` began. */
  succeed(): void {
    this.#failures.length = 0;
  }

  /** Stores an object as it is (status included), creating or replacing it; returns what is stored. */
  put<T extends KubeObject>(type: ResourceType, object: T): T {
    const old = this.peek(type, objectKey(object));
    return this.#store(type, withIdentity(structuredClone(object), old, this.#clock)) as T;
  }

  /** The stored object by `<namespace>/<name>` or `<name>`, without recording a call. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as KubeClient.get: the caller knows the kind
  peek<T extends KubeObject>(type: ResourceType, key: string): T | undefined {
    return this.#collection(type).objects.get(key) as T | undefined;
  }

  /** All stored objects of a type, without recording a call. */
  all<T extends KubeObject>(type: ResourceType): T[] {
    return [...this.#collection(type).objects.values()] as T[];
  }

  async get<T extends KubeObject>(type: ResourceType, at: ObjectAt, options?: KubeCallOptions): Promise<T> {
    this.#record({ verb: "get", plural: type.plural, key: keyOf(at) }, options);
    return structuredClone(this.#require(type, keyOf(at))) as T;
  }

  async find<T extends KubeObject>(
    type: ResourceType,
    at: ObjectAt,
    options?: KubeCallOptions,
  ): Promise<T | undefined> {
    this.#record({ verb: "get", plural: type.plural, key: keyOf(at) }, options);
    return structuredClone(this.peek<T>(type, keyOf(at)));
  }

  async list<T extends KubeObject>(type: ResourceType, options: ListOptions = {}): Promise<KubeList<T>> {
    this.#record({ verb: "list", plural: type.plural, key: options.namespace ?? "" }, options);
    const items = this.all<T>(type).filter((object) => isSelected(object, options));
    return {
      items: structuredClone(items),
      resourceVersion: String(this.#version),
    };
  }

  async create<T extends KubeObject>(type: ResourceType, object: T, options?: KubeCallOptions): Promise<T> {
    const named = structuredClone(object);
    const { name, generateName } = named.metadata;
    if (!name && generateName) named.metadata.name = generateName + Math.random().toString(36).slice(2, 7);
    const key = objectKey(named);
    this.#record({ verb: "create", plural: type.plural, key, body: named }, options);
    if (this.peek(type, key)) throw failure("AlreadyExists", type, key, "already exists");
    const stored = this.#store(type, withIdentity(named, undefined, this.#clock));
    return structuredClone(stored) as T;
  }

  async replace<T extends KubeObject>(
    type: ResourceType,
    object: T,
    options: KubeCallOptions & { readonly subresource?: string } = {},
  ): Promise<T> {
    const key = objectKey(object);
    const { subresource } = options;
    this.#record({ verb: "replace", plural: type.plural, key, subresource, body: object }, options);
    if (this.peek(type, key) && needsVersion(type) && object.metadata.resourceVersion === undefined)
      throw failure("Invalid", type, key, "is invalid: metadata.resourceVersion: must be specified");
    return this.#update(type, key, structuredClone(object), subresource) as T;
  }

  async patch<T extends KubeObject>(
    type: ResourceType,
    at: ObjectAt,
    patch: unknown,
    options: PatchOptions,
  ): Promise<T> {
    const key = keyOf(at);
    const { subresource } = options;
    this.#record({ verb: "patch", plural: type.plural, key, subresource, body: patch }, options);
    const old = structuredClone(this.#require(type, key));
    const next =
      options.type === "json"
        ? jsonPatch(old as unknown as JsonObject, patch as Json)
        : mergePatch(old, structuredClone(patch), options.type === "strategic");
    return this.#update(type, key, next as KubeObject, subresource) as T;
  }

  async remove(type: ResourceType, at: ObjectAt, options: RemoveOptions = {}): Promise<void> {
    const key = keyOf(at);
    this.#record({ verb: "remove", plural: type.plural, key, body: options }, options);
    const old = this.#require(type, key);
    if (options.uid !== undefined && old.metadata.uid !== options.uid)
      throw failure("Conflict", type, key, "the UID in the precondition does not match");
    const grace = gracePeriod(type, old, options.graceSeconds);
    if (grace === 0 && !old.metadata.finalizers?.length) {
      this.#drop(type, key);
      return;
    }
    if (old.metadata.deletionTimestamp && old.metadata.deletionGracePeriodSeconds === grace) return;
    const next = structuredClone(old);
    next.metadata.deletionTimestamp = rfc3339(this.#clock.nowMs() + grace * 1000);
    next.metadata.deletionGracePeriodSeconds = grace;
    this.#store(type, next);
  }

  async createSubresource<T extends KubeObject>(
    type: ResourceType,
    at: ObjectAt,
    subresource: string,
    ...[body, options]: [body: KubeObject, options?: KubeCallOptions]
  ): Promise<T> {
    const key = keyOf(at);
    this.#record(
      {
        verb: "createSubresource",
        plural: type.plural,
        key,
        subresource,
        body,
      },
      options,
    );
    const old = structuredClone(this.#require(type, key));
    if (subresource === "binding") this.#bind(type, old, body);
    if (subresource === "eviction") await this.remove(type, at, {});
    if (subresource === "token") {
      const expirationTimestamp = rfc3339(this.#clock.nowMs() + 3_600_000);
      return {
        ...structuredClone(body),
        status: { token: `token-of-${key}`, expirationTimestamp },
      } as unknown as T;
    }
    return structuredClone(body) as T;
  }

  informer<T extends KubeObject>(type: ResourceType, options: Omit<ListOptions, "signal"> = {}): Informer<T> {
    const { informers, objects } = this.#collection(type);
    const informer: FakeInformer<KubeObject> = new FakeInformer(
      options,
      [...objects.values()],
      () => void informers.delete(informer),
    );
    informers.add(informer);
    return informer as unknown as Informer<T>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { informers } of this.#collections.values()) informers.clear();
  }

  #bind(type: ResourceType, pod: KubeObject, binding: KubeObject): void {
    const spec = pod["spec"] as { nodeName?: string };
    if (spec.nodeName) throw failure("Conflict", type, objectKey(pod), "pod is already assigned");
    spec.nodeName = (binding["target"] as { name: string }).name;
    const scheduled = {
      type: "PodScheduled",
      status: "True",
      lastTransitionTime: rfc3339(this.#clock.nowMs()),
    };
    const next = mergePatch(pod, { status: { conditions: [scheduled] } }, true) as KubeObject;
    this.#store(type, next);
  }

  #update(type: ResourceType, key: string, next: KubeObject, subresource?: string): KubeObject {
    const old = this.#require(type, key);
    const expected = next.metadata.resourceVersion;
    if (expected !== undefined && expected !== old.metadata.resourceVersion)
      throw failure("Conflict", type, key, "the object has been modified; please apply your changes");
    const merged = withStableMeta(partOf(old, next, subresource), old);
    if (merged.metadata.deletionTimestamp && !merged.metadata.finalizers?.length && finalized(type, merged)) {
      this.#drop(type, key);
      return structuredClone(merged);
    }
    if (Bun.deepEquals(merged, old)) return structuredClone(old);
    return structuredClone(this.#store(type, merged));
  }

  #store(type: ResourceType, object: KubeObject): KubeObject {
    const { objects, informers } = this.#collection(type);
    const key = objectKey(object);
    this.#version += 1;
    object.metadata.resourceVersion = String(this.#version);
    object.apiVersion ??= type.group === "" ? type.version : `${type.group}/${type.version}`;
    object.kind ??= type.kind;
    objects.set(key, object);
    for (const informer of informers) informer.notify(key, object);
    return object;
  }

  #drop(type: ResourceType, key: string): void {
    const { objects, informers } = this.#collection(type);
    this.#version += 1;
    objects.delete(key);
    for (const informer of informers) informer.notify(key, undefined);
  }

  #require(type: ResourceType, key: string): KubeObject {
    const object = this.peek(type, key);
    if (!object) throw failure("NotFound", type, key, "not found");
    return object;
  }

  #record(call: FakeCall, options?: KubeCallOptions): void {
    options?.signal?.throwIfAborted();
    this.calls.push(call);
    const failing = this.#failures.find((entry) => entry.left > 0 && entry.matches(call));
    if (!failing) return;
    failing.left -= 1;
    throw failing.error;
  }

  #collection(type: ResourceType): Collection {
    const id = `${type.group}/${type.plural}`;
    const found = this.#collections.get(id);
    if (found) return found;
    const made: Collection = { type, objects: new Map(), informers: new Set() };
    this.#collections.set(id, made);
    return made;
  }
}

/** Delivers events in microtasks, one after another. */
class FakeInformer<T extends KubeObject> implements Informer<T> {
  readonly synced = Promise.resolve();
  readonly #options: Omit<ListOptions, "signal">;
  readonly #copy = new Map<string, T>();
  readonly #handlers = new Set<InformerHandler<T>>();
  readonly #onDispose: () => void;
  #disposed = false;

  constructor(options: Omit<ListOptions, "signal">, existing: T[], onDispose: () => void) {
    this.#options = options;
    this.#onDispose = onDispose;
    for (const object of existing)
      if (isSelected(object, options)) this.#copy.set(objectKey(object), structuredClone(object));
  }

  get(key: string): T | undefined {
    return this.#copy.get(key);
  }

  list(): T[] {
    return [...this.#copy.values()];
  }

  watch(handler: InformerHandler<T>): Disposable {
    for (const object of this.list()) handler.added?.(object);
    this.#handlers.add(handler);
    return { [Symbol.dispose]: () => void this.#handlers.delete(handler) };
  }

  notify(key: string, stored: T | undefined): void {
    const object = stored && isSelected(stored, this.#options) ? structuredClone(stored) : undefined;
    queueMicrotask(() => this.#apply(key, object));
  }

  #apply(key: string, object: T | undefined): void {
    const old = this.#copy.get(key);
    if (this.#disposed || (!object && !old)) return;
    if (object) this.#copy.set(key, object);
    else this.#copy.delete(key);
    for (const handler of this.#handlers) {
      if (!object) handler.removed?.(old as T);
      else if (!old) handler.added?.(object);
      else handler.updated?.(object, old);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    this.#handlers.clear();
    this.#onDispose();
  }
}

function keyOf(at: ObjectAt): string {
  return at.namespace ? `${at.namespace}/${at.name}` : at.name;
}

function isSelected(object: KubeObject, options: Omit<ListOptions, "signal">): boolean {
  if (options.namespace && object.metadata.namespace !== options.namespace) return false;
  if (options.labelSelector && !selectorMatches(options.labelSelector, object.metadata.labels ?? {}))
    return false;
  return !options.fieldSelector || fieldsMatch(options.fieldSelector, object);
}

function failure(reason: string, type: ResourceType, key: string, what: string): KubeError {
  const code = { NotFound: 404, Invalid: 422 }[reason] ?? 409;
  const name = key.slice(key.indexOf("/") + 1);
  const group = type.group === "" ? "" : `.${type.group}`;
  const message = `${type.plural}${group} "${name}" ${what}`;
  return new KubeError(code, reason, message, {
    status: "Failure",
    code,
    reason,
    message,
  });
}

function withIdentity<T extends KubeObject>(
  object: T,
  old: KubeObject | undefined,
  clock: Pick<Clock, "nowMs">,
): T {
  object.metadata.uid ??= old?.metadata.uid ?? crypto.randomUUID();
  object.metadata.creationTimestamp ??= old?.metadata.creationTimestamp ?? rfc3339(clock.nowMs());
  object.metadata.generation ??= 1;
  return object;
}

function partOf(old: KubeObject, next: KubeObject, subresource: string | undefined): KubeObject {
  if (subresource === "status") {
    const { annotations: _old, ...metadata } = structuredClone(old.metadata);
    const { annotations } = next.metadata;
    const written = { ...metadata, ...(annotations && { annotations }) };
    return {
      ...structuredClone(old),
      metadata: written,
      status: next["status"],
    };
  }
  const status = old["status"];
  const { status: _dropped, ...rest } = next;
  return status === undefined ? rest : { ...rest, status };
}

function withStableMeta(next: KubeObject, old: KubeObject): KubeObject {
  const { uid, creationTimestamp, deletionTimestamp, deletionGracePeriodSeconds, resourceVersion } =
    old.metadata;
  const stable = {
    uid,
    creationTimestamp,
    deletionTimestamp,
    deletionGracePeriodSeconds,
    resourceVersion,
  };
  const changed = !Bun.deepEquals(next["spec"], old["spec"]);
  const generation = (old.metadata.generation ?? 1) + Number(changed);
  const known = Object.fromEntries(Object.entries(stable).filter(([, value]) => value !== undefined));
  next.metadata = { ...next.metadata, ...known, generation };
  return next;
}

function finalized(type: ResourceType, object: KubeObject): boolean {
  return type.plural !== "pods" || object.metadata.deletionGracePeriodSeconds === 0;
}

function gracePeriod(type: ResourceType, object: KubeObject, asked: number | undefined): number {
  if (type.plural !== "pods") return 0;
  const spec = object["spec"] as { nodeName?: string; terminationGracePeriodSeconds?: number } | undefined;
  return spec?.nodeName ? (asked ?? spec.terminationGracePeriodSeconds ?? 30) : 0;
}
