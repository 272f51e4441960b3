import { parseObject, type KindInfo } from "#cloud/kube-api/schema";
import type { RevisionStore } from "#cloud/kube-api/store";
import type { JsonObject } from "#shared/json";

/** A new object before its defaults; changed in place. */
export interface NewObject {
  readonly kind: KindInfo;
  readonly name: string;
  readonly object: JsonObject;
}

/** All objects of a kind of the cluster. */
export function everyObject(store: RevisionStore, resource: string): JsonObject[] {
  return store.list(resource).flatMap(({ revision }) => {
    const text = store.text(revision);
    return text === undefined ? [] : [parseObject(text)];
  });
}
