import { validateBatch } from "#cloud/kube-api/kinds/batch";
import {
  isSigningRequest,
  stampConditions,
  validateSigningRequest,
  validateSigningUpdate,
} from "#cloud/kube-api/kinds/certificates";
import { markObserved, validateBinding, validatePolicy } from "#cloud/kube-api/kinds/policies";
import {
  defaultObject,
  validateCrd,
  validateLists,
  validateRules,
  validateValue,
} from "#cloud/kube-api/custom-resources";
import {
  admitPod,
  applyDefaults,
  qosClassOf,
  selectJob,
  tolerateOutages,
  type PodSurroundings,
} from "#cloud/kube-api/kinds/defaults";
import {
  broughtErrors,
  validateChange,
  validateEphemeralContainers,
  validateResize,
  validateMetadata,
  validateMirrorUpdate,
  validateObject,
  refuseEphemeralContainers,
  warningsOf,
} from "#cloud/kube-api/kinds/validation";
import { definitionName, toPod, type FieldError, type KindInfo } from "#cloud/kube-api/schema";
import {
  accept,
  failureStatus,
  forbiddenStatus,
  invalidStatus,
  refuse,
  type ApiOutcome,
} from "#cloud/kube-api/status";
import { childOf, cloneJson, ensureChild, sameMeaning, textOf, type JsonObject } from "#shared/json";
import { isMirrorPod, mirrorFault, type Status } from "#shared/kube";
import { validateStatus } from "./validate-status.ts";
import { advanceGeneration, prepareCreate, prepareUpdate, type ObjectUpdate } from "./strategy.ts";

export interface WriteContext {
  /** RFC 3339 with seconds, e.g. `2026-01-01T00:00:00Z`. */
  readonly now: string;
  /** Who writes, as authentication.k8s.io UserInfo. */
  readonly author?: JsonObject | undefined;
  /** What a new pod depends on. */
  readonly around?: PodSurroundings | undefined;
}

/**
 * Resets, defaults, admits and validates a decoded new object, in the order of kube-apiserver. Its name (generated, if so
 * requested), namespace and uid must be in its metadata already; creationTimestamp and generation are set here.
 */
export function admitCreate(
  kind: KindInfo,
  object: JsonObject,
  context: WriteContext,
): ApiOutcome<JsonObject> {
  const prepared = prepareNew(kind, object, context);
  return prepared.ok ? validateNew(kind, prepared.value) : prepared;
}

/** The first half of `admitCreate`: what a new object gets. Mutating webhooks come after it. */
export function prepareNew(
  kind: KindInfo,
  object: JsonObject,
  context: WriteContext,
): ApiOutcome<JsonObject> {
  prepareCreate(kind, object, context);
  if (!fillDefaults(kind, object)) return refuse(tooLargeDefaults(kind));
  const name = definitionName(kind);
  if (name === "core.v1.Pod") {
    const refused = admitPod(object, context.around ?? {});
    if (refused) return refuse(refused);
    ensureChild(object, "status").qosClass = qosClassOf(object);
  }
  if (name === policyKind) markObserved(object);
  if (name === "batch.v1.Job") selectJob(object, textOf(childOf(object, "metadata"), "uid"));
  return accept(object);
}

/** The second half of `admitCreate`. */
export function validateNew(kind: KindInfo, object: JsonObject): ApiOutcome<JsonObject> {
  const isPod = definitionName(kind) === "core.v1.Pod";
  const errors = [
    ...validateObject(kind, object),
    ...validateSpecial(kind, object),
    ...(isPod ? refuseEphemeralContainers(object, "cannot be set on create") : []),
  ];
  const fault = isPod && errors.length === 0 ? mirrorPodFault(object) : undefined;
  return fault === undefined
    ? finish(kind, object, errors, () => warningsOf(kind, object))
    : refuse(forbiddenStatus(kind, textOf(childOf(object, "metadata"), "name"), fault));
}

/** What ServiceAccount admission forbids to mirror pods of any author. */
const mirrorKinds = new Set(["ServiceAccount", "Secret", "ServiceAccountToken"] as const);

function mirrorPodFault(object: JsonObject): string | undefined {
  const pod = toPod(object);
  return isMirrorPod(pod) ? mirrorFault(pod, mirrorKinds) : undefined;
}

/**
 * Applies the rules of updates to a decoded object. Fields that `via` may not write are those of `current`; the generation
 * advances when the desired state changed. resourceVersion and managedFields stay as in `next`.
 */
export function admitUpdate(kind: KindInfo, change: ObjectUpdate): ApiOutcome<JsonObject> {
  const prepared = prepareChanged(kind, change);
  return prepared.ok ? validateChanged(kind, { ...change, next: prepared.value }) : prepared;
}

/** The first half of `admitUpdate`. */
export function prepareChanged(
  kind: KindInfo,
  change: ObjectUpdate & { readonly now?: string },
): ApiOutcome<JsonObject> {
  const { current, via, now } = change;
  const next = prepareUpdate(kind, change);
  if (!fillDefaults(kind, next)) return refuse(tooLargeDefaults(kind));
  if (isSigningRequest(kind) && now !== undefined) stampConditions(next, { current, via, now });
  const isPod = definitionName(kind) === "core.v1.Pod";
  if (isPod) keepAdmitted(next, current);
  if (isPod && via === "") tolerateOutages(ensureChild(next, "spec"));
  advanceGeneration(kind, next, { current, via });
  if (via === "" && definitionName(kind) === policyKind) markObserved(next);
  return accept(next);
}

/** The second half of `admitUpdate`, of an object that is prepared. */
export function validateChanged(
  kind: KindInfo,
  { next, current, via }: ObjectUpdate,
): ApiOutcome<JsonObject> {
  const isPod = definitionName(kind) === "core.v1.Pod";
  if ((via === "status" || via === "approval") && kind.custom === undefined)
    return finish(kind, next, [
      ...broughtErrors(next, current, (object) => [
        ...validateMetadata(kind, object),
        ...(via === "status" ? validateStatus(kind, object) : []),
      ]),
      ...(isPod ? validateMirrorUpdate(next, current) : []),
      ...(isSigningRequest(kind) ? validateSigningUpdate(next, current, via) : []),
    ]);
  if (via === "resize")
    return finish(kind, next, [
      ...broughtErrors(next, current, (object) => validateObject(kind, object)),
      ...validateResize(next, current),
    ]);
  if (via === "ephemeralcontainers")
    return finish(kind, next, [
      ...broughtErrors(next, current, (object) => validateMetadata(kind, object)),
      ...validateEphemeralContainers(next, current),
    ]);
  const errors =
    isPod && via === "binding"
      ? broughtErrors(next, current, (object) => validateObject(kind, object))
      : validateChange(kind, next, current);
  const special =
    kind.custom === undefined
      ? broughtErrors(next, current, (object) => validateSpecial(kind, object, current))
      : validateSpecial(kind, next, current);
  return finish(kind, next, [...errors, ...special], () =>
    via === "" ? newWarnings(kind, next, current) : [],
  );
}

/** What did not change was warned of before. */
function newWarnings(kind: KindInfo, next: JsonObject, current: JsonObject): string[] {
  const warnings = warningsOf(kind, next);
  return warnings.length === 0 || sameMeaning(next.spec, current.spec) ? [] : warnings;
}

/** @returns false when the defaults of a schema make the object too large */
function fillDefaults(kind: KindInfo, object: JsonObject): boolean {
  const { custom } = kind;
  if (custom !== undefined) return defaultObject(custom.schema, object);
  applyDefaults(kind, object);
  return true;
}

function tooLargeDefaults({ kind }: KindInfo): Status {
  const text = `Request entity too large: the defaults of ${kind} make the object too large`;
  return failureStatus(text, "RequestEntityTooLarge", 413);
}

/** Fields that admission set stay when an update omits them; the QoS class never changes. */
function keepAdmitted(next: JsonObject, current: JsonObject): void {
  const spec = ensureChild(next, "spec");
  const was = childOf(current, "spec") ?? {};
  for (const field of [
    "serviceAccountName",
    "serviceAccount",
    "priority",
    "preemptionPolicy",
    "nodeName",
    "tolerations",
  ])
    if (spec[field] === undefined && was[field] !== undefined) spec[field] = cloneJson(was[field]);
  const qos = textOf(childOf(current, "status"), "qosClass");
  ensureChild(next, "status").qosClass = qos || qosClassOf(next);
}

const policyKind = "admissionregistration.v1.ValidatingAdmissionPolicy";
const policyValidators: Readonly<Record<string, (object: JsonObject) => FieldError[]>> = {
  [policyKind]: validatePolicy,
  "admissionregistration.v1.ValidatingAdmissionPolicyBinding": validateBinding,
};

function validateSpecial(kind: KindInfo, object: JsonObject, current?: JsonObject): FieldError[] {
  if (definitionName(kind) === "apiextensions.v1.CustomResourceDefinition")
    return validateCrd(object, current);
  if (isSigningRequest(kind)) return current ? [] : validateSigningRequest(object);
  const validatePolicies = policyValidators[definitionName(kind)];
  if (validatePolicies) return validatePolicies(object);
  if (kind.custom === undefined) return validateBatch(kind, object, current);
  const { schema } = kind.custom;
  const errors = [...validateValue(schema, object, current), ...validateLists(schema, object, current)];
  // Rules are written for values of the right types.
  return errors.length > 0 ? errors : validateRules(schema, object, current);
}

function finish(
  kind: KindInfo,
  object: JsonObject,
  errors: readonly FieldError[],
  warnings: () => string[] = () => [],
): ApiOutcome<JsonObject> {
  if (errors.length > 0)
    return refuse(invalidStatus(kind, textOf(childOf(object, "metadata"), "name"), errors));
  const { deprecationWarning } = kind.custom ?? {};
  return accept(object, [...(deprecationWarning === undefined ? [] : [deprecationWarning]), ...warnings()]);
}
