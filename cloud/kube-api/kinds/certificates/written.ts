import type { KindInfo, UpdateVia } from "#cloud/kube-api/schema";
import { childOf, ensureChild, itemsOf, sameMeaning, textOf, type JsonObject } from "#shared/json";

/** Not one of the same name in a CustomResourceDefinition. */
export function isSigningRequest({ group, kind, custom }: KindInfo): boolean {
  return group === "certificates.k8s.io" && kind === "CertificateSigningRequest" && custom === undefined;
}

const decisions = new Set(["Approved", "Denied"]);

/** A request for a certificate says who asks, which only the API knows. Changes `request`. */
export function setRequester(request: JsonObject, author: JsonObject): void {
  const {
    username: _name,
    uid: _uid,
    groups: _groups,
    extra: _extra,
    ...spec
  } = ensureChild(request, "spec");
  request.spec = { ...spec, ...author };
}

/** A signer writes the status, and does not decide: Approved and Denied stay as they are. Changes `next`. */
export function keepDecisions(next: JsonObject, current: JsonObject): void {
  const given = itemsOf(childOf(next, "status"), "conditions");
  const decided = itemsOf(childOf(current, "status"), "conditions").filter(isDecision);
  const conditions = [...decided, ...given.filter((condition) => !isDecision(condition))];
  if (given.length > 0 || decided.length > 0) ensureChild(next, "status").conditions = conditions;
}

/** Approved or Denied. */
export function isDecision(condition: JsonObject): boolean {
  return decisions.has(textOf(condition, "type"));
}

/** New conditions get the time at which they were written, where they have none. Changes `next`. */
export function stampConditions(
  next: JsonObject,
  { current, via, now }: { readonly current: JsonObject; readonly via: UpdateVia; readonly now: string },
): void {
  if (via !== "status" && via !== "approval") return;
  const before = itemsOf(childOf(current, "status"), "conditions");
  for (const condition of itemsOf(childOf(next, "status"), "conditions")) {
    if (before.some((one) => sameMeaning(one, condition))) continue;
    condition.lastUpdateTime ??= now;
    const was = before.find((one) => one.type === condition.type && one.status === condition.status);
    condition.lastTransitionTime ??= was?.lastTransitionTime ?? now;
  }
}
