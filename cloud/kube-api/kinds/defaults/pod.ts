import {
  childOf,
  ensureChild,
  isObject,
  itemsOf,
  numberOf,
  setDefault,
  setDefaultText,
  textOf,
  type Json,
  type JsonObject,
} from "#shared/json";

/** Defaults of a pod spec wherever it stands: in a pod or in a template. */
export function defaultPodSpec(spec: JsonObject): void {
  setDefaultText(spec, "dnsPolicy", "ClusterFirst");
  setDefaultText(spec, "restartPolicy", "Always");
  setDefault(spec, "terminationGracePeriodSeconds", 30);
  setDefault(spec, "securityContext", {});
  setDefaultText(spec, "schedulerName", "default-scheduler");
  mirrorServiceAccount(spec);
  for (const container of containersOf(spec)) {
    defaultContainer(container);
    if (spec.hostNetwork === true) exposeOnHost(container);
  }
  for (const volume of itemsOf(spec, "volumes")) defaultVolume(volume);
}

/** A pod template of a workload; its metadata has a null timestamp, as Go encodes it. */
export function defaultPodTemplate(template: JsonObject): void {
  setDefault(ensureChild(template, "metadata"), "creationTimestamp", null);
  defaultPodSpec(ensureChild(template, "spec"));
}

export function defaultPod(pod: JsonObject): void {
  const spec = ensureChild(pod, "spec");
  setDefault(spec, "enableServiceLinks", true);
  defaultPodSpec(spec);
  for (const container of containersOf(spec)) requestLimits(container);
  const status = ensureChild(pod, "status");
  setDefaultText(status, "phase", "Pending");
  if (itemsOf(spec, "schedulingGates").length > 0) setDefault(status, "conditions", [{ ...gated }]);
  defaultPodStatus(status);
}

/** The first condition of a pod that the scheduler has to leave alone (registry/core/pod/strategy.go). */
const gated = {
  type: "PodScheduled",
  status: "False",
  reason: "SchedulingGated",
  message: "Scheduling is blocked due to non-empty scheduling gates",
} as const;

function defaultPodStatus(status: JsonObject): void {
  const ip = textOf(status, "podIP");
  const ips = itemsOf(status, "podIPs");
  if (ip !== "" && textOf(ips[0], "ip") !== ip) status.podIPs = [{ ip }];
  else if (ip === "" && ips.length > 0) status.podIP = textOf(ips[0], "ip");
  for (const condition of itemsOf(status, "conditions")) {
    setDefault(condition, "lastProbeTime", null);
    setDefault(condition, "lastTransitionTime", null);
  }
  for (const field of ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
    for (const container of itemsOf(status, field)) {
      setDefault(container, "state", {});
      setDefault(container, "lastState", {});
    }
}

export type Qos = "Guaranteed" | "Burstable" | "BestEffort";

/** The QoS class of a pod, as `ComputePodQOS`. */
export function qosClassOf(pod: JsonObject): Qos {
  const containers = ["containers", "initContainers"].flatMap((field) =>
    itemsOf(childOf(pod, "spec"), field),
  );
  let any = false;
  let guaranteed = true;
  for (const container of containers) {
    const resources = childOf(container, "resources");
    const limits = computeOf(resources, "limits");
    const requests = computeOf(resources, "requests");
    any ||= Object.keys(limits).length > 0 || Object.keys(requests).length > 0;
    guaranteed &&= ["cpu", "memory"].every(
      (name) => limits[name] !== undefined && (requests[name] ?? limits[name]) === limits[name],
    );
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

function computeOf(resources: JsonObject | undefined, field: string): Record<string, Json> {
  const entries = Object.entries(childOf(resources, field) ?? {});
  return Object.fromEntries(
    entries.filter(([name, value]) => (name === "cpu" || name === "memory") && value !== "0"),
  );
}

export function containersOf(spec: JsonObject): JsonObject[] {
  return ["initContainers", "containers", "ephemeralContainers"].flatMap((field) => itemsOf(spec, field));
}

function mirrorServiceAccount(spec: JsonObject): void {
  const name = textOf(spec, "serviceAccountName") || textOf(spec, "serviceAccount");
  if (name === "") return;
  spec.serviceAccountName = name;
  spec.serviceAccount = name;
}

function defaultContainer(container: JsonObject): void {
  setDefaultText(container, "imagePullPolicy", pullPolicyOf(textOf(container, "image")));
  setDefaultText(container, "terminationMessagePath", "/dev/termination-log");
  setDefaultText(container, "terminationMessagePolicy", "File");
  setDefault(container, "resources", {});
  for (const port of itemsOf(container, "ports")) setDefaultText(port, "protocol", "TCP");
  for (const field of ["livenessProbe", "readinessProbe", "startupProbe"])
    defaultProbe(childOf(container, field));
  const lifecycle = childOf(container, "lifecycle");
  for (const hook of ["postStart", "preStop"]) defaultHttpGet(childOf(childOf(lifecycle, hook), "httpGet"));
  for (const env of itemsOf(container, "env")) defaultFieldRef(childOf(env, "valueFrom"));
}

/** `Always` for the tag latest, given or implied, else `IfNotPresent`. */
function pullPolicyOf(image: string): string {
  if (image.includes("@")) return "IfNotPresent";
  const tag = image.slice(image.lastIndexOf("/") + 1).split(":")[1];
  return tag === undefined || tag === "latest" ? "Always" : "IfNotPresent";
}

function defaultProbe(probe: JsonObject | undefined): void {
  if (probe === undefined) return;
  const counts = { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 };
  for (const [field, value] of Object.entries(counts)) if (!numberOf(probe, field)) probe[field] = value;
  defaultHttpGet(childOf(probe, "httpGet"));
  const grpc = childOf(probe, "grpc");
  if (grpc !== undefined) setDefault(grpc, "service", "");
}

function defaultHttpGet(action: JsonObject | undefined): void {
  if (action === undefined) return;
  setDefaultText(action, "path", "/");
  setDefaultText(action, "scheme", "HTTP");
}

function defaultFieldRef(source: JsonObject | undefined): void {
  const field = childOf(source, "fieldRef");
  if (field !== undefined) setDefaultText(field, "apiVersion", "v1");
  const resource = childOf(source, "resourceFieldRef");
  if (resource !== undefined) setDefault(resource, "divisor", "0");
}

function requestLimits(container: JsonObject): void {
  const resources = childOf(container, "resources");
  const limits = childOf(resources, "limits");
  if (resources === undefined || limits === undefined || Object.keys(limits).length === 0) return;
  const requests = ensureChild(resources, "requests");
  for (const [name, value] of Object.entries(limits)) setDefault(requests, name, value);
}

function exposeOnHost(container: JsonObject): void {
  for (const port of itemsOf(container, "ports"))
    if (!numberOf(port, "hostPort")) port.hostPort = port.containerPort ?? 0;
}

/** Sources whose files have a mode, 0644 by default. */
const modeSources = ["configMap", "secret", "downwardAPI", "projected"];

export function defaultVolume(volume: JsonObject): void {
  if (Object.keys(volume).every((field) => field === "name" || !isObject(volume[field])))
    volume.emptyDir = {};
  for (const field of modeSources) {
    const source = childOf(volume, field);
    if (source !== undefined) setDefault(source, "defaultMode", 420);
  }
  const hostPath = childOf(volume, "hostPath");
  if (hostPath !== undefined) setDefault(hostPath, "type", "");
  for (const item of itemsOf(childOf(volume, "downwardAPI"), "items")) defaultFieldRef(item);
  for (const source of itemsOf(childOf(volume, "projected"), "sources")) {
    const token = childOf(source, "serviceAccountToken");
    if (token !== undefined) setDefault(token, "expirationSeconds", 3600);
    for (const item of itemsOf(childOf(source, "downwardAPI"), "items")) defaultFieldRef(item);
  }
  const iscsi = childOf(volume, "iscsi");
  if (iscsi !== undefined) setDefaultText(iscsi, "iscsiInterface", "default");
  const claim = childOf(childOf(volume, "ephemeral"), "volumeClaimTemplate");
  if (claim !== undefined) setDefault(ensureChild(claim, "metadata"), "creationTimestamp", null);
  defaultClaim(claim);
}

export function defaultClaim(claim: JsonObject | undefined): void {
  if (claim !== undefined) setDefaultText(ensureChild(claim, "spec"), "volumeMode", "Filesystem");
}
