import type { Logger } from "#shared/log";
import type { KubeObject } from "#shared/kube";
import type { Change, RevisionStore } from "#cloud/apistore";
import { crdResource, type KindRegistry } from "./kind-registry.ts";
import { crdFinalizer, type ObjectService } from "./object-service.ts";

interface Parts {
  readonly store: RevisionStore;
  readonly registry: KindRegistry;
  readonly objects: ObjectService;
  readonly log: Logger;
}

interface Definition extends KubeObject {
  readonly spec: { readonly group: string; readonly names: { readonly plural: string } };
}

/** Deletes the objects of a CustomResourceDefinition that is being deleted, then lets go of it. */
export function startCrdCleaner(parts: Parts): Disposable {
  const owned = new DisposableStack();
  const waiting = new Map<string, Disposable>();
  owned.defer(() => {
    for (const following of waiting.values()) following[Symbol.dispose]();
  });
  const look = (name: string): void => {
    clean(parts, name, waiting).catch((error: unknown) =>
      parts.log.warn("Cannot remove the objects of a custom resource definition", { name, error }),
    );
  };
  owned.use(
    parts.store.follow(crdResource, (changes: readonly Change[]) => {
      for (const change of changes) if (change.type !== "DELETED") look(change.key.slice(1));
    }),
  );
  for (const { key } of parts.store.list(crdResource)) look(key.slice(1));
  return owned;
}

async function clean(parts: Parts, name: string, waiting: Map<string, Disposable>): Promise<void> {
  const { store } = parts;
  const crd = dyingDefinition(store, name);
  if (!crd) return;
  const { group, names } = crd.spec;
  const resource = `${group}/${names.plural}`;
  if (!waiting.has(name)) {
    waiting.set(
      name,
      store.follow(resource, () => void release(parts, name, resource).catch(() => undefined)),
    );
  }
  const kind = parts.registry.findResource(group, names.plural);
  for (const { key } of kind ? store.list(resource) : []) {
    const [namespace = "", object = ""] = key.split("/", 2);
    if (kind) await parts.objects.delete({ kind, namespace, name: object }, {});
  }
  await release(parts, name, resource);
  if (store.find(crdResource, `/${name}`) !== undefined) return;
  waiting.get(name)?.[Symbol.dispose]();
  waiting.delete(name);
}

/** Takes the finalizer off once no object is left. */
async function release({ store }: Parts, name: string, resource: string): Promise<void> {
  const crd = dyingDefinition(store, name);
  if (!crd || store.count(resource) > 0) return;
  const finalizers = (crd.metadata.finalizers ?? []).filter((finalizer) => finalizer !== crdFinalizer);
  if (finalizers.length > 0) crd.metadata.finalizers = finalizers;
  else delete crd.metadata.finalizers;
  await store.write({ resource: crdResource, key: `/${name}`, object: crd, remove: finalizers.length === 0 });
}

function dyingDefinition(store: RevisionStore, name: string): Definition | undefined {
  const text = store.get(crdResource, `/${name}`);
  const crd = text === undefined ? undefined : (JSON.parse(text) as Definition);
  const dying =
    crd?.metadata.deletionTimestamp !== undefined && crd.metadata.finalizers?.includes(crdFinalizer);
  return dying ? crd : undefined;
}
