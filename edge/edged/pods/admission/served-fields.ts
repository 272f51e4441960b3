import { AppError } from "#shared/errors";
import { isRecord, recordOf } from "#shared/json";
import type { Container, Pod } from "#shared/kube";

/** Fields of a PodSpec that are applied, refused where they cannot be, or the business of others, such as the scheduler. */
const ofPod = new Set([
  "activeDeadlineSeconds",
  "affinity",
  "automountServiceAccountToken",
  "containers",
  "dnsConfig",
  "dnsPolicy",
  "enableServiceLinks",
  "ephemeralContainers",
  "hostAliases",
  "hostIPC",
  "hostNetwork",
  "hostPID",
  "hostUsers",
  "hostname",
  "imagePullSecrets",
  "initContainers",
  "nodeName",
  "nodeSelector",
  "os",
  "overhead",
  "preemptionPolicy",
  "priority",
  "priorityClassName",
  "readinessGates",
  "resourceClaims",
  "restartPolicy",
  "runtimeClassName",
  "schedulerName",
  "schedulingGates",
  "securityContext",
  "serviceAccount",
  "serviceAccountName",
  "setHostnameAsFQDN",
  "shareProcessNamespace",
  "subdomain",
  "terminationGracePeriodSeconds",
  "tolerations",
  "topologySpreadConstraints",
  "volumes",
]);

/** The same of a Container. API servers set `resizePolicy` themselves, and it says nothing while a pod is not resized. */
const ofContainer = new Set([
  "args",
  "command",
  "env",
  "envFrom",
  "image",
  "imagePullPolicy",
  "lifecycle",
  "livenessProbe",
  "name",
  "ports",
  "readinessProbe",
  "resizePolicy",
  "resources",
  "restartPolicy",
  "securityContext",
  "startupProbe",
  "stdin",
  "stdinOnce",
  "targetContainerName",
  "terminationMessagePath",
  "terminationMessagePolicy",
  "tty",
  "volumeDevices",
  "volumeMounts",
  "workingDir",
]);

/** Paths of fields that this node does not know and leaves out: "spec.hostnameOverride". */
export function unappliedFields({ spec }: Pod): string[] {
  const lists = ["containers", "initContainers", "ephemeralContainers"] as const;
  const inContainers = lists.flatMap((field) =>
    (spec[field] ?? []).flatMap((container, index) => {
      const path = `spec.${field}[${index}]`;
      return [...unknownIn(path, container, ofContainer), ...hooksOf(path, container)];
    }),
  );
  return [...unknownIn("spec", spec, ofPod), ...inContainers];
}

function hooksOf(path: string, { lifecycle }: Container): string[] {
  return unknownIn(`${path}.lifecycle`, lifecycle ?? {}, new Set(["postStart", "preStop"]));
}

function unknownIn(path: string, given: object, known: ReadonlySet<string>): string[] {
  return Object.entries(given)
    .filter(([field, value]) => !known.has(field) && !isEmpty(value))
    .map(([field]) => `${path}.${field}`);
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return isRecord(value) ? Object.keys(value).length === 0 : !value;
}

/** Devices that a pod cannot do without. @throws AppError whose code is the reason of waiting containers */
export function refuseUnserved({ spec }: Pod): void {
  if (!isEmpty(spec["resourceClaims"])) throw unserved("spec.resourceClaims");
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    const where = `of container "${container.name}"`;
    const { volumeDevices } = recordOf(container);
    if (!isEmpty(volumeDevices)) throw unserved(`volumeDevices ${where}`);
    const { limits } = container.resources ?? {};
    const pages = Object.keys(limits ?? {}).find((name) => name.startsWith("hugepages-"));
    if (pages !== undefined) throw unserved(`resources.limits.${pages} ${where}`);
  }
}

function unserved(what: string): AppError {
  return new AppError("CreateContainerConfigError", `${what} is not supported on this node`);
}
