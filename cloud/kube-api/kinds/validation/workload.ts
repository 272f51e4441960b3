import {
  invalid,
  notSupported,
  placeOf,
  required,
  validateWorkloadSelector,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import {
  childOf,
  isObject,
  numberOf,
  textMapOf,
  textOf,
  type Json,
  type JsonObject,
  itemsOf,
} from "#shared/json";
import { hasLabels } from "#shared/kube";
import { validatePodTemplate } from "#cloud/kube-api/kinds/validation/pods";

const negativeText = "must be greater than or equal to 0";

export function validateDeployment(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  return [
    ...notNegative(spec, ["replicas", "minReadySeconds", "revisionHistoryLimit"]),
    ...validateWorkloadSelector(spec),
    ...validateAlwaysTemplate(spec),
    ...validateStrategy(childOf(spec, "strategy"), {
      path: "spec.strategy",
      types: ["Recreate", "RollingUpdate"],
    }),
    ...validateProgress(spec),
  ];
}

export function validateReplicaSet(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  return [
    ...notNegative(spec, ["replicas", "minReadySeconds"]),
    ...validateWorkloadSelector(spec),
    ...validateAlwaysTemplate(spec),
  ];
}

export function validateDaemonSet(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  return [
    ...notNegative(spec, ["minReadySeconds", "revisionHistoryLimit"]),
    ...validateWorkloadSelector(spec),
    ...validateAlwaysTemplate(spec),
    ...validateStrategy(childOf(spec, "updateStrategy"), {
      path: "spec.updateStrategy",
      types: ["OnDelete", "RollingUpdate"],
    }),
    ...validateSurge(childOf(childOf(spec, "updateStrategy"), "rollingUpdate")),
  ];
}

/** A node has either a new pod beside the old one, or none for a while. */
function validateSurge(rolling: JsonObject | undefined): FieldError[] {
  const { maxSurge, maxUnavailable } = rolling ?? {};
  const isSet = (value: Json | undefined): boolean => value !== undefined && !isZero(value);
  const path = "spec.updateStrategy.rollingUpdate.maxSurge";
  return isSet(maxSurge) && isSet(maxUnavailable)
    ? [invalid(path, maxSurge, "may not be set when maxUnavailable is non-zero")]
    : [];
}

export function validateStatefulSet(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const policy = textOf(spec, "podManagementPolicy");
  const errors = ["OrderedReady", "Parallel"].includes(policy)
    ? []
    : [invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")];
  const type = textOf(childOf(spec, "updateStrategy"), "type");
  if (type !== "RollingUpdate" && type !== "OnDelete")
    errors.push(
      invalid(
        "spec.updateStrategy",
        childOf(spec, "updateStrategy"),
        "must be 'RollingUpdate' or 'OnDelete'",
      ),
    );
  return [
    ...errors,
    ...validateSetUpdate(childOf(spec, "updateStrategy")),
    ...validateRetention(childOf(spec, "persistentVolumeClaimRetentionPolicy")),
    ...notNegative(spec, ["replicas", "minReadySeconds", "revisionHistoryLimit"]),
    ...validateWorkloadSelector(spec),
    ...validateAlwaysTemplate(spec && withClaimVolumes(spec)),
  ];
}

function validateSetUpdate(strategy: JsonObject | undefined): FieldError[] {
  const path = "spec.updateStrategy.rollingUpdate";
  const rolling = childOf(strategy, "rollingUpdate");
  if (strategy?.type === "OnDelete" && rolling !== undefined)
    return [invalid(path, rolling, "only allowed for updateStrategy 'RollingUpdate'")];
  return [
    ...notNegative(rolling, ["partition"], path),
    ...validatePart(rolling?.maxUnavailable, `${path}.maxUnavailable`),
  ];
}

function validateRetention(policy: JsonObject | undefined): FieldError[] {
  const values = ["Retain", "Delete"];
  return ["whenDeleted", "whenScaled"]
    .filter((field) => policy?.[field] !== undefined && !values.includes(textOf(policy, field)))
    .map((field) =>
      notSupported(`spec.persistentVolumeClaimRetentionPolicy.${field}`, textOf(policy, field), values),
    );
}

/** The template as its pods are: a claim template is a volume of its name. */
function withClaimVolumes(spec: JsonObject): JsonObject {
  const template = childOf(spec, "template");
  const podSpec = childOf(template, "spec");
  if (!podSpec) return spec;
  const own = itemsOf(podSpec, "volumes");
  const names = new Set(own.map((volume) => textOf(volume, "name")));
  const claims = itemsOf(spec, "volumeClaimTemplates")
    .map((claim) => textOf(childOf(claim, "metadata"), "name"))
    .filter((name) => !names.has(name))
    .map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
  return { ...spec, template: { ...template, spec: { ...podSpec, volumes: [...own, ...claims] } } };
}

export function validateReplicationController(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const selector = textMapOf(spec, "selector");
  const labels = textMapOf(childOf(childOf(spec, "template"), "metadata"), "labels");
  const errors = notNegative(spec, ["replicas", "minReadySeconds"]);
  if (Object.keys(selector).length === 0) errors.push(required("spec.selector"));
  if (childOf(spec, "template") === undefined) return [...errors, required("spec.template")];
  if (!hasLabels(labels, selector))
    errors.push(
      invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"),
    );
  return [...errors, ...validateAlwaysTemplate(spec)];
}

function validateAlwaysTemplate(spec: JsonObject | undefined): FieldError[] {
  const errors = validatePodTemplate(spec, "spec.template");
  const podSpec = childOf(childOf(spec, "template"), "spec");
  const policy = textOf(podSpec, "restartPolicy");
  if (podSpec !== undefined && policy !== "Always")
    errors.push(notSupported("spec.template.spec.restartPolicy", policy, ["Always"]));
  if (numberOf(podSpec, "activeDeadlineSeconds") !== undefined)
    errors.push({
      reason: "FieldValueForbidden",
      field: "spec.template.spec.activeDeadlineSeconds",
      message: "Forbidden: activeDeadlineSeconds in pod template is not supported",
    });
  return errors;
}

function validateStrategy(
  strategy: JsonObject | undefined,
  rule: { path: string; types: string[] },
): FieldError[] {
  const type = textOf(strategy, "type");
  const rolling = childOf(strategy, "rollingUpdate");
  if (!rule.types.includes(type)) return [notSupported(`${rule.path}.type`, type, rule.types)];
  if (type !== "RollingUpdate")
    return rolling === undefined
      ? []
      : [
          {
            reason: "FieldValueForbidden",
            field: `${rule.path}.rollingUpdate`,
            message: `Forbidden: may not be specified when strategy \`type\` is '${type}'`,
          },
        ];
  const path = `${rule.path}.rollingUpdate`;
  const errors = ["maxUnavailable", "maxSurge"].flatMap((field) =>
    validatePart(rolling?.[field], `${path}.${field}`),
  );
  if (isZero(rolling?.maxUnavailable) && isZero(rolling?.maxSurge))
    errors.push(
      invalid(`${path}.maxUnavailable`, rolling?.maxUnavailable ?? 0, "may not be 0 when `maxSurge` is 0"),
    );
  return errors;
}

/** A number, or a percentage, as an IntOrString has it. */
export function validatePart(value: Json | undefined, path: string): FieldError[] {
  if (typeof value === "number") return value < 0 ? [invalid(path, value, negativeText)] : [];
  if (typeof value !== "string" || isObject(value)) return [];
  return /^\d+%$/.test(value)
    ? []
    : [
        invalid(
          path,
          value,
          "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ),
      ];
}

function isZero(value: Json | undefined): boolean {
  return value === 0 || value === "0%";
}

function validateProgress(spec: JsonObject | undefined): FieldError[] {
  const seconds = numberOf(spec, "progressDeadlineSeconds") ?? 600;
  if (seconds < 0) return [invalid("spec.progressDeadlineSeconds", seconds, negativeText)];
  return seconds > (numberOf(spec, "minReadySeconds") ?? 0)
    ? []
    : [invalid("spec.progressDeadlineSeconds", seconds, "must be greater than minReadySeconds")];
}

export function notNegative(
  owner: JsonObject | undefined,
  fields: readonly string[],
  path = "spec",
): FieldError[] {
  return fields.flatMap((field) => {
    const value = numberOf(owner, field) ?? 0;
    return value < 0 ? [invalid(placeOf(path, field), value, negativeText)] : [];
  });
}
