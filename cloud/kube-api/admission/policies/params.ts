import { labelSelectorOf } from "#cloud/kube-api/kinds/validation";
import { shownObject } from "#cloud/kube-api/kinds";
import type { KindInfo } from "#cloud/kube-api/schema";
import type { RevisionStore } from "#cloud/kube-api/store";
import { childOf, metadataOf, textMapOf, textOf, type JsonObject } from "#shared/json";
import { apiVersionOf, matchesLabelSelector } from "#shared/kube";
import type { Binding, Policy } from "./policy.ts";

export interface ParamParts {
  readonly store: RevisionStore;
  readonly findKind: (apiVersion: string, kind: string) => KindInfo | undefined;
}

/** Objects that one binding names: each costs an evaluation of the policy. */
const mostParams = 100;

/**
 * What the expressions of a policy see as `params`, one evaluation for each; null: without. @throws Error when a binding cannot
 * be used
 */
export function collectParams(
  { store, findKind }: ParamParts,
  { paramKind }: Policy,
  { params }: Binding,
  namespace: string,
): readonly (JsonObject | null)[] {
  if (!paramKind || !params) return [null];
  const kind = findKind(paramKind.apiVersion, paramKind.kind);
  if (!kind) throw new Error(`paramKind kind \`${paramKind.apiVersion}, Kind=${paramKind.kind}\` not known`);
  const place = placeOf(kind, textOf(params, "namespace"), namespace);
  const found = textOf(params, "name")
    ? named(store, kind, `${place}/${textOf(params, "name")}`)
    : selected(store, kind, { place, selector: childOf(params, "selector") ?? {} });
  if (found.length === 0 && params["parameterNotFoundAction"] === "Deny")
    throw new Error("no params found for policy binding with `Deny` parameterNotFoundAction");
  return found;
}

function placeOf(kind: KindInfo, asked: string, namespace: string): string {
  if (!kind.namespaced) {
    if (asked !== "")
      throw new Error("paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
    return "";
  }
  if (asked === "" && namespace === "")
    throw new Error("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
  return asked || namespace;
}

function named(store: RevisionStore, kind: KindInfo, key: string): JsonObject[] {
  const text = store.get(resourceOf(kind), key);
  return text === undefined ? [] : [shownParam(kind, text)];
}

function selected(
  store: RevisionStore,
  kind: KindInfo,
  { place, selector }: { readonly place: string; readonly selector: JsonObject },
): JsonObject[] {
  const wanted = labelSelectorOf(selector);
  const found: JsonObject[] = [];
  for (const { revision } of store.list(resourceOf(kind), `${place}/`)) {
    const text = store.text(revision);
    const object = text === undefined ? undefined : shownParam(kind, text);
    if (!object || !matchesLabelSelector(wanted, textMapOf(metadataOf(object), "labels"))) continue;
    found.push(object);
    if (found.length > mostParams) throw new Error(`more than ${mostParams} params are selected`);
  }
  return found;
}

/** @throws Error for one that only a webhook could convert: a policy is evaluated without waiting */
function shownParam(kind: KindInfo, text: string): JsonObject {
  const shown = shownObject(kind, text);
  const { custom } = kind;
  if (custom?.conversion && custom.storageVersion !== kind.version)
    throw new Error(
      `params have to be of version ${custom.storageVersion}, which ${apiVersionOf(kind)} is not`,
    );
  return shown;
}

function resourceOf(kind: KindInfo): string {
  const { group, plural } = kind.storedAs ?? kind;
  return `${group}/${plural}`;
}
