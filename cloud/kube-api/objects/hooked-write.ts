import type { AdmissionRequest, Policies, Webhooks } from "#cloud/kube-api/admission";
import { decodeBody } from "#cloud/kube-api/kinds";
import { Refusal, refusals } from "#cloud/kube-api/status";
import type { RevisionStore } from "#cloud/kube-api/store";
import { cloneJson, metadataOf, type JsonObject } from "#shared/json";
import { keyOf } from "./identity.ts";
import { resourceOf } from "./kind-registry.ts";
import { unwrap } from "./unwrap.ts";
import type { ObjectTarget, WriteOptions } from "./write-request.ts";

/** Somebody else wrote the object while webhooks were asked: the request is done again, or refused as a conflict. */
export class Overtaken extends Refusal {}

/** A write between its two halves: `prepare` gives an object what it gets, `validate` checks it. */
export interface HookedWrite {
  readonly target: ObjectTarget;
  readonly operation: "CREATE" | "UPDATE";
  readonly subresource: string;
  readonly object: JsonObject;
  readonly old: JsonObject | undefined;
  readonly prepare: (object: JsonObject) => JsonObject;
  readonly validate: (object: JsonObject) => JsonObject;
}

/** Who is asked about a write besides the rules of its kind. */
export interface Gates {
  readonly webhooks: Webhooks;
  readonly policies: Policies;
}

/**
 * Prepares and validates an object, with the webhooks and policies that it is for. Without webhooks the result is there at once:
 * the caller writes it in the turn of the event loop in which it read what it replaces. What the server itself writes is for
 * none, since it has to start while they are unreachable. @throws Refusal
 */
export function admitThrough(
  { webhooks, policies }: Gates,
  write: HookedWrite,
  options: WriteOptions,
): JsonObject | Promise<JsonObject> {
  const { target, operation, subresource, old } = write;
  const object = write.prepare(write.object);
  const { kind, namespace, name } = target;
  const { dryRun, author } = options;
  if (!author) return write.validate(object);
  const request = { kind, namespace, name, operation, subresource, object, old, dryRun, author };
  if (webhooks.concern(request)) return ask({ webhooks, policies }, { write, request }, options);
  const validated = write.validate(object);
  if (policies.isIdle) return validated;
  return policies.check({ ...request, object: validated }, options.warn)?.then(() => validated) ?? validated;
}

async function ask(
  { webhooks, policies }: Gates,
  { write, request }: { readonly write: HookedWrite; readonly request: AdmissionRequest },
  options: WriteOptions,
): Promise<JsonObject> {
  const mutated = await webhooks.mutate(request, options.warn);
  const object = mutated === request.object || !mutated ? request.object : prepared(write, mutated, options);
  const validated = write.validate(object ?? write.object);
  await policies.check({ ...request, object: validated }, options.warn);
  await webhooks.validate({ ...request, object: validated }, options.warn);
  return validated;
}

/** What a webhook made of an object, with the identity that it had. */
function prepared(write: HookedWrite, mutated: JsonObject, options: WriteOptions): JsonObject {
  const { target, object } = write;
  const decoded = unwrap(decodeBody(target.kind, cloneJson(mutated), { validation: "Ignore" }), options.warn);
  const { name, namespace, uid } = metadataOf(object);
  decoded["metadata"] = {
    ...metadataOf(decoded),
    ...(name !== undefined && { name }),
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
  };
  return write.prepare(decoded);
}

/** Asks the webhooks and policies about a deletion. @throws Refusal */
export async function askBeforeDelete(
  { webhooks, policies }: Gates,
  { kind, namespace, name }: ObjectTarget,
  {
    old,
    dryRun,
    author,
    warn,
  }: Pick<WriteOptions, "author" | "dryRun" | "warn"> & { readonly old: JsonObject },
): Promise<void> {
  const request = { kind, namespace, name, operation: "DELETE", subresource: "", object: undefined } as const;
  const whole = { ...request, old, dryRun, author: author ?? {} };
  await webhooks.mutate(whole, warn);
  await policies.check(whole, warn);
  await webhooks.validate(whole, warn);
}

/** @throws Overtaken when the object is no longer as it was read */
export function checkCurrent(store: RevisionStore, target: ObjectTarget, current: JsonObject): void {
  const revision = store.find(resourceOf(target.kind), keyOf(target));
  if (String(revision) === metadataOf(current)["resourceVersion"]) return;
  throw new Overtaken(refusals.modifiedMeanwhile(target.kind, target.name).status);
}
