import { parseKubeObject } from "#cloud/kube-api/schema";
import type { RevisionChange, RevisionStore } from "#cloud/kube-api/store";
import type { Clock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import { backoff, KeyedWorker } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { crdFinalizer } from "./established-definition.ts";
import { crdResource, type KindRegistry } from "./kind-registry.ts";
import type { ObjectService } from "./object-service.ts";

interface Parts {
  readonly store: RevisionStore;
  readonly registry: KindRegistry;
  readonly objects: ObjectService;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Definition extends KubeObject {
  readonly spec: { readonly group: string; readonly names: { readonly plural: string } };
}

/** Back-off of a failed step: from a conflict to a disk that stays full. */
const firstRetryMs = 500;
const lastRetryMs = 30_000;

/** Deletes the objects of a CustomResourceDefinition that is being deleted, then releases it. */
export function startCrdCleaner(parts: Parts): AsyncDisposable {
  const cleaner = new CrdCleaner(parts);
  return { [Symbol.asyncDispose]: () => cleaner.stop() };
}

/** Work for a definition: its objects are deleted once; then it is released when their number is zero. */
type Step = "delete objects" | "release";

class CrdCleaner {
  readonly #parts: Parts;
  readonly #worker: KeyedWorker<string, Step>;
  readonly #owned = new DisposableStack();
  /** by name of the definition: follows changes of its objects */
  readonly #waiting = new Map<string, Disposable>();
  readonly #retries = new Map<string, { readonly waits: Iterator<number, never>; timer: Disposable }>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#worker = new KeyedWorker(
      (key, step) => this.#run(nameOf(key), step),
      (key, error) => this.#retry(key, error),
    );
    const { store } = parts;
    this.#owned.use(store.follow(crdResource, (changes) => this.#onChanges(changes)));
    for (const { key } of store.list(crdResource)) this.#submit(key.slice(1), "delete objects");
  }

  async stop(): Promise<void> {
    this.#owned.dispose();
    for (const following of this.#waiting.values()) following[Symbol.dispose]();
    for (const { timer } of this.#retries.values()) timer[Symbol.dispose]();
    await this.#worker[Symbol.asyncDispose]();
  }

  #onChanges(changes: readonly RevisionChange[]): void {
    for (const { type, key } of changes) if (type !== "DELETED") this.#submit(key.slice(1), "delete objects");
  }

  #submit(name: string, step: Step): void {
    this.#worker.submit(`${step}/${name}`, step);
  }

  async #run(name: string, step: Step): Promise<void> {
    const crd = dyingDefinition(this.#parts.store, name);
    if (crd && step === "delete objects") await this.#deleteObjects(name, crd);
    if (crd) await release(this.#parts.store, name, resourceOf(crd));
    this.#forgetRetry(`${step}/${name}`);
    if (this.#parts.store.find(crdResource, `/${name}`) !== undefined) return;
    this.#waiting.get(name)?.[Symbol.dispose]();
    this.#waiting.delete(name);
  }

  async #deleteObjects(name: string, crd: Definition): Promise<void> {
    const { store, registry, objects } = this.#parts;
    const resource = resourceOf(crd);
    if (!this.#waiting.has(name))
      this.#waiting.set(
        name,
        store.follow(resource, () => this.#submit(name, "release")),
      );
    const kind = registry.findResource(crd.spec.group, crd.spec.names.plural);
    for (const { key } of kind ? store.list(resource) : []) {
      const [namespace = "", object = ""] = key.split("/", 2);
      // It may have been deleted meanwhile.
      if (!kind || store.find(resource, key) === undefined) continue;
      // One after the other: a large collection must not be deleted in one turn.
      await objects.delete({ kind, namespace, name: object }, {});
    }
  }

  /** A definition that is not released would never be deleted: no other controller does it. */
  #retry(key: string, error: unknown): void {
    const { clock, log } = this.#parts;
    const waits =
      this.#retries.get(key)?.waits ??
      backoff({ firstMs: firstRetryMs, capMs: lastRetryMs, random: () => clock.random() });
    const afterMs = waits.next().value;
    // A key is `<step>/<name>`, as `#submit` makes it.
    const step = key.slice(0, key.indexOf("/")) as Step;
    log.warn("cannot clean up after a custom resource definition, retrying", {
      name: nameOf(key),
      step,
      afterMs,
      error,
    });
    this.#retries.get(key)?.timer[Symbol.dispose]();
    const timer = clock.after(afterMs, () => this.#worker.submit(key, step));
    this.#retries.set(key, { waits, timer });
  }

  #forgetRetry(key: string): void {
    this.#retries.get(key)?.timer[Symbol.dispose]();
    this.#retries.delete(key);
  }
}

function nameOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}

function resourceOf({ spec: { group, names } }: Definition): string {
  return `${group}/${names.plural}`;
}

/** Removes the finalizer once no object is left. */
async function release(store: RevisionStore, name: string, resource: string): Promise<void> {
  const crd = dyingDefinition(store, name);
  if (!crd || store.count(resource) > 0) return;
  const finalizers = (crd.metadata.finalizers ?? []).filter((finalizer) => finalizer !== crdFinalizer);
  if (finalizers.length > 0) crd.metadata.finalizers = finalizers;
  else delete crd.metadata.finalizers;
  await store.write({ resource: crdResource, key: `/${name}`, object: crd, remove: finalizers.length === 0 });
}

function dyingDefinition(store: RevisionStore, name: string): Definition | undefined {
  const text = store.get(crdResource, `/${name}`);
  const crd = text === undefined ? undefined : (parseKubeObject(text) as Definition);
  const dying =
    crd?.metadata.deletionTimestamp !== undefined && crd.metadata.finalizers?.includes(crdFinalizer);
  return dying ? crd : undefined;
}
