import { preferredField, requiredField } from "#cloud/kube-api/kinds/validation/pods";
import { definitionName, type KindInfo } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textMapOf, textOf, type JsonObject } from "#shared/json";
import { formatQuantity, isWhole, parseQuantity } from "#shared/kube";

/*
 * What is accepted, but does not do what its author may expect: a client shows these texts. Those of pods follow pkg/api/pod
 * (warnings.go).
 */

/** Warnings about an object of a builtin kind that is accepted. */
export function warningsOf(kind: KindInfo, object: JsonObject): string[] {
  return kind.custom === undefined ? (warners[definitionName(kind)]?.(object) ?? []) : [];
}

const warners: Readonly<Record<string, (object: JsonObject) => string[]>> = {
  "networking.v1.NetworkPolicy": () => [
    "NetworkPolicies are stored only: edge nodes have no cluster network, and nothing enforces this policy",
  ],
  "networking.v1.Ingress": (object) =>
    textMapOf(childOf(object, "metadata"), "annotations")[ingressClass] === undefined
      ? []
      : [`annotation "${ingressClass}" is deprecated, please use 'spec.ingressClassName' instead`],
  "core.v1.PersistentVolumeClaim": (object) => claimWarnings(specOf(object), "spec"),
  "core.v1.Pod": (object) => podWarnings(object, ""),
  "core.v1.PodTemplate": (object) => templateWarnings(object, "template"),
  "core.v1.ReplicationController": templateOfSpec,
  "apps.v1.DaemonSet": templateOfSpec,
  "apps.v1.Deployment": templateOfSpec,
  "apps.v1.ReplicaSet": templateOfSpec,
  "apps.v1.StatefulSet": templateOfSpec,
  "batch.v1.Job": templateOfSpec,
  "batch.v1.CronJob": (object) =>
    templateWarnings(
      childOf(childOf(specOf(object), "jobTemplate"), "spec"),
      "spec.jobTemplate.spec.template",
    ),
};

const ingressClass = "kubernetes.io/ingress.class";

function specOf(object: JsonObject): JsonObject {
  return childOf(object, "spec") ?? {};
}

function templateOfSpec(object: JsonObject): string[] {
  return templateWarnings(specOf(object), "spec.template");
}

function templateWarnings(owner: JsonObject | undefined, path: string): string[] {
  const template = childOf(owner, "template");
  return template === undefined ? [] : podWarnings(template, `${path}.`);
}

const oldLabels: Readonly<Record<string, string>> = {
  "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
  "beta.kubernetes.io/instance-type":
    'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  "failure-domain.beta.kubernetes.io/region":
    'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  "failure-domain.beta.kubernetes.io/zone":
    'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
};

const oldAnnotations: Readonly<Record<string, string>> = {
  "scheduler.alpha.kubernetes.io/critical-pod":
    'non-functional in v1.16+; use the "priorityClassName" field instead',
  "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
  "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
};

const plannedRemoval = "deprecated in v1.22, support removal is planned in v1.26";
const oldVolumes: Readonly<Record<string, string>> = {
  photonPersistentDisk: "deprecated in v1.11, non-functional in v1.16+",
  gitRepo: "deprecated in v1.11",
  scaleIO: "deprecated in v1.16, non-functional in v1.22+",
  flocker: plannedRemoval,
  storageOS: plannedRemoval,
  quobyte: plannedRemoval,
  glusterfs: "deprecated in v1.25, this feature will be removed soon after in a subsequent release",
};

/** `prefix`: the path of the template, with a dot, or nothing for a pod. */
function podWarnings(pod: JsonObject, prefix: string): string[] {
  const spec = specOf(pod);
  const path = `${prefix}spec`;
  const annotations = textMapOf(childOf(pod, "metadata"), "annotations");
  const noted = Object.keys(oldAnnotations).filter((key) => annotations[key] !== undefined);
  return [
    ...labelWarnings(spec, path),
    ...noted.map((key) => `${prefix}metadata.annotations[${key}]: ${oldAnnotations[key]}`),
    ...volumeWarnings(spec, path),
    ...repeated(itemsOf(spec, "hostAliases"), "ip", `${path}.hostAliases`),
    ...repeated(itemsOf(spec, "imagePullSecrets"), "name", `${path}.imagePullSecrets`),
    ...itemsOf(spec, "imagePullSecrets").flatMap((one, index) =>
      textOf(one, "name") === "" ? [`${path}.imagePullSecrets[${index}].name: invalid empty name ""`] : [],
    ),
    ...fractions(childOf(spec, "overhead"), `${path}.overhead`),
    ...seccompWarning(childOf(spec, "securityContext"), annotations, {
      key: "seccomp.security.alpha.kubernetes.io/pod",
      prefix,
    }),
    ...["initContainers", "containers", "ephemeralContainers"].flatMap((field) =>
      itemsOf(spec, field).flatMap((container, index) => [
        ...seccompWarning(childOf(container, "securityContext"), annotations, {
          key: `container.seccomp.security.alpha.kubernetes.io/${textOf(container, "name")}`,
          prefix,
        }),
        ...containerWarnings(container, `${path}.${field}[${index}]`),
      ]),
    ),
  ];
}

function seccompWarning(
  context: JsonObject | undefined,
  annotations: Record<string, string>,
  { key, prefix }: { readonly key: string; readonly prefix: string },
): string[] {
  if (context?.seccompProfile !== undefined || annotations[key] === undefined) return [];
  const text =
    'deprecated since v1.19, non-functional in a future release; use the "seccompProfile" field instead';
  return [`${prefix}metadata.annotations[${key}]: ${text}`];
}

function containerWarnings(container: JsonObject, path: string): string[] {
  const resources = childOf(container, "resources");
  return [
    ...["limits", "requests"].flatMap((list) =>
      fractions(childOf(resources, list), `${path}.resources.${list}`),
    ),
    ...repeated(itemsOf(container, "env"), "name", `${path}.env`),
  ];
}

function labelWarnings(spec: JsonObject, path: string): string[] {
  const affinity = childOf(childOf(spec, "affinity"), "nodeAffinity");
  const place = `${path}.affinity.nodeAffinity`;
  return [
    ...Object.keys(textMapOf(spec, "nodeSelector")).flatMap((label) =>
      oldLabels[label] === undefined ? [] : [`${path}.nodeSelector[${label}]: ${oldLabels[label]}`],
    ),
    ...itemsOf(childOf(affinity, requiredField), "nodeSelectorTerms").flatMap((term, index) =>
      termWarnings(term, `${place}.${requiredField}.nodeSelectorTerms[${index}]`),
    ),
    ...itemsOf(affinity, preferredField).flatMap((term, index) =>
      termWarnings(childOf(term, "preference") ?? {}, `${place}.${preferredField}[${index}].preference`),
    ),
    ...itemsOf(spec, "topologySpreadConstraints").flatMap((one, index) =>
      keyWarning(textOf(one, "topologyKey"), `${path}.topologySpreadConstraints[${index}].topologyKey`),
    ),
  ];
}

function termWarnings(term: JsonObject, path: string): string[] {
  return itemsOf(term, "matchExpressions").flatMap((one, index) =>
    keyWarning(textOf(one, "key"), `${path}.matchExpressions[${index}].key`),
  );
}

function keyWarning(label: string, path: string): string[] {
  return oldLabels[label] === undefined ? [] : [`${path}: ${label} is ${oldLabels[label]}`];
}

function volumeWarnings(spec: JsonObject, path: string): string[] {
  return itemsOf(spec, "volumes").flatMap((volume, index) => {
    const place = `${path}.volumes[${index}]`;
    const claim = childOf(childOf(volume, "ephemeral"), "volumeClaimTemplate");
    return [
      ...Object.keys(oldVolumes)
        .filter((field) => childOf(volume, field) !== undefined)
        .map((field) => `${place}.${field}: ${oldVolumes[field]}`),
      ...(claim === undefined
        ? []
        : claimWarnings(specOf(claim), `${place}.ephemeral.volumeClaimTemplate.spec`)),
    ];
  });
}

function claimWarnings(spec: JsonObject, path: string): string[] {
  const resources = childOf(spec, "resources");
  return ["requests", "limits"].flatMap((list) =>
    fractions(childOf(resources, list), `${path}.resources.${list}`, ["storage"]),
  );
}

function repeated(items: readonly JsonObject[], field: string, path: string): string[] {
  const seen = new Set<string>();
  return items.flatMap((item, index) => {
    const value = textOf(item, field);
    const again = seen.has(value);
    seen.add(value);
    return again ? [`${path}[${index}].${field}: duplicate ${field} ${JSON.stringify(value)}`] : [];
  });
}

/** Amounts of bytes that are no whole number. */
function fractions(
  list: JsonObject | undefined,
  path: string,
  names: readonly string[] = ["memory", "ephemeral-storage"],
): string[] {
  return names.flatMap((name) => {
    const amount = parseQuantity(textOf(list, name));
    if (amount === undefined || isWhole(amount)) return [];
    const text = `fractional byte value ${JSON.stringify(formatQuantity(amount))} is invalid, must be an integer`;
    return [`${path}[${name}]: ${text}`];
  });
}
