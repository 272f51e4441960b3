import { requestToken, type TokenSigner } from "#cloud/kube-api/auth";
import type { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import { scaleOf, shownObject, withScale, type KindInfo } from "#cloud/kube-api/kinds";
import {
  checkIdentity,
  checkType,
  unwrap,
  type ObjectService,
  type ObjectTarget,
  type WriteOptions,
} from "#cloud/kube-api/objects";
import { patchObject, type PatchType } from "#cloud/kube-api/patch";
import { parseKubeObject, parseObject } from "#cloud/kube-api/schema";
import { refusals } from "#cloud/kube-api/status";
import type { RevisionStore } from "#cloud/kube-api/store";
import { rfc3339, type Clock } from "#shared/clock";
import { asText, isObject, metadataOf, type Json, type JsonObject } from "#shared/json";
import type { KubeObject } from "#shared/kube";

export interface SubresourceParts {
  readonly objects: ObjectService;
  readonly conversions: Conversions;
  readonly store: RevisionStore;
  readonly signer: TokenSigner;
  readonly clock: Clock;
  /** Issuer of tokens, and their audience by default. */
  readonly issuer: string;
}

/** `GET …/scale`. @throws Refusal */
export async function readScale(parts: SubresourceParts, target: ObjectTarget): Promise<JsonObject> {
  const scale = scaleOf(target.kind, await parts.objects.show(target));
  if (!scale) throw refusals.unknownResource();
  return scale;
}

const scaleKind = { group: "autoscaling", version: "v1", kind: "Scale" };

/** `PUT` and `PATCH …/scale`: changes the replicas of the object behind it. @throws Refusal */
export async function writeScale(
  parts: SubresourceParts,
  target: ObjectTarget,
  change: { readonly type: PatchType | "update"; readonly body: Json },
  options: WriteOptions,
): Promise<JsonObject> {
  const object = await parts.objects.show(target);
  const before = scaleOf(target.kind, object);
  if (!before) throw refusals.unknownResource();
  const { type, body } = change;
  const patchType = type === "strategic" || type === "apply" ? "merge" : type;
  const scale = patchType === "update" ? body : patchObject(target.kind, before, { type: patchType, body });
  checkType(scaleKind, scale);
  checkIdentity(target, scale);
  const next = unwrap(withScale(target.kind, object, scale), options.warn);
  // The update judges it as that of the object.
  const asked = asText(metadataOf(scale)["resourceVersion"]);
  if (asked !== "") metadataOf(next)["resourceVersion"] = asked;
  const written = await parts.objects.update(target, next, { ...options, via: "scale" });
  const text = await parts.conversions.text(target.kind, written.text);
  return scaleOf(target.kind, shownObject(target.kind, text)) ?? scale;
}

/** `PUT …/finalize` of a namespace: only its finalizers change; a deleted namespace without any is removed. @throws Refusal */
export async function finalizeNamespace(
  parts: SubresourceParts,
  target: ObjectTarget,
  body: Json,
  options: WriteOptions,
): Promise<JsonObject> {
  const namespace = parts.objects.read(target);
  const given = isObject(body) ? body : {};
  const asked = metadataOf(given)["resourceVersion"];
  if (asked !== undefined && asked !== "" && asked !== metadataOf(namespace)["resourceVersion"]) {
    throw refusals.modifiedMeanwhile(target.kind, target.name);
  }
  const spec = isObject(given["spec"]) ? given["spec"] : {};
  const { finalizers: _before, ...rest } = isObject(namespace["spec"]) ? namespace["spec"] : {};
  const finalizers = Array.isArray(spec["finalizers"]) ? spec["finalizers"] : [];
  const next = { ...namespace, spec: finalizers.length > 0 ? { ...rest, finalizers } : rest };
  const written = await parts.objects.save(target, next, options);
  return parseObject(written.text);
}

/** `POST …/binding`: puts a pod on a node, once. @throws Refusal */
export async function bindPod(
  parts: SubresourceParts,
  target: ObjectTarget,
  body: Json,
  options: WriteOptions,
): Promise<JsonObject> {
  const binding = isObject(body) ? body : {};
  const name = asText(metadataOf(binding)["name"]);
  if (name !== "" && name !== target.name)
    throw refusals.badRequest("name in URL does not match name in Binding object");
  const node = isObject(binding["target"]) ? binding["target"]["name"] : undefined;
  if (typeof node !== "string" || node === "") {
    const cause = { reason: "FieldValueRequired", message: "Required value", field: "target.name" };
    throw refusals.unprocessable({ group: "", plural: "bindings", kind: "Binding" }, target.name, cause);
  }
  const pod = parts.objects.read(target);
  const spec = isObject(pod["spec"]) ? pod["spec"] : {};
  checkBindable(target, pod, asText(metadataOf(binding)["uid"]));
  const status = isObject(pod["status"]) ? pod["status"] : {};
  const conditions = withScheduled(status["conditions"], rfc3339(parts.clock.nowMs()));
  const next = { ...pod, spec: { ...spec, nodeName: node }, status: { ...status, conditions } };
  await parts.objects.save(target, next, options);
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
}

function checkBindable(target: ObjectTarget, pod: JsonObject, uid: string): void {
  const { kind, name } = target;
  if (uid !== "" && uid !== metadataOf(pod)["uid"]) {
    throw refusals.conflict(kind, name, "Precondition failed: UID does not match");
  }
  if (metadataOf(pod)["deletionTimestamp"] !== undefined) {
    throw refusals.conflict(kind, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  }
  const spec = isObject(pod["spec"]) ? pod["spec"] : {};
  const { schedulingGates: gates } = spec;
  const bindings = { group: "", plural: "pods/binding" };
  if (Array.isArray(gates) && gates.length > 0)
    throw refusals.conflict(bindings, name, `pod ${name} has non-empty .spec.schedulingGates`);
  const node = asText(spec["nodeName"]);
  if (node === "") return;
  const why = `pod ${name} is already assigned to node "${node}"`;
  throw refusals.conflict(bindings, name, why);
}

function withScheduled(conditions: Json | undefined, now: string): Json[] {
  const rest = (Array.isArray(conditions) ? conditions : []).filter(
    (condition) => !isObject(condition) || condition["type"] !== "PodScheduled",
  );
  return [...rest, { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: now }];
}

/** `POST …/token` of a service account. @throws Refusal */
export function createAccountToken(parts: SubresourceParts, target: ObjectTarget, body: Json): JsonObject {
  const { signer, issuer, store } = parts;
  const { namespace, name } = target;
  const uid = asText(metadataOf(parts.objects.read(target))["uid"]);
  const find = (resource: string, inside: string, called: string): KubeObject | undefined => {
    const text = store.get(resource, `${inside}/${called}`);
    return text === undefined ? undefined : parseKubeObject(text);
  };
  return requestToken({ signer, issuer, nowMs: parts.clock.nowMs(), find }, { namespace, name, uid }, body);
}

/** The subresource of a kind, undefined when it has none of this name. */
export function subresourceOf(kind: KindInfo, name: string): KindInfo["subresources"][number] | undefined {
  return kind.subresources.find((sub) => sub.name === name);
}
