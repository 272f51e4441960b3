import {
  childOf,
  ensureChild,
  itemsOf,
  numberOf,
  setDefault,
  setDefaultText,
  textOf,
  type Json,
  type JsonObject,
} from "#shared/json";

const rbacGroup = "rbac.authorization.k8s.io";

export function defaultNamespace(object: JsonObject): void {
  const metadata = ensureChild(object, "metadata");
  const name = textOf(metadata, "name");
  if (name !== "") ensureChild(metadata, "labels")["kubernetes.io/metadata.name"] = name;
  ensureChild(object, "spec");
  setDefaultText(ensureChild(object, "status"), "phase", "Active");
}

export function defaultNode(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  const range = textOf(spec, "podCIDR");
  if (range !== "") setDefault(spec, "podCIDRs", [range]);
  const status = ensureChild(object, "status");
  const capacity = childOf(status, "capacity");
  if (capacity !== undefined) setDefault(status, "allocatable", { ...capacity });
  setDefault(ensureChild(ensureChild(status, "daemonEndpoints"), "kubeletEndpoint"), "Port", 0);
  const info = ensureChild(status, "nodeInfo");
  for (const field of nodeInfoFields) setDefault(info, field, "");
  for (const condition of itemsOf(status, "conditions")) {
    setDefault(condition, "lastHeartbeatTime", null);
    setDefault(condition, "lastTransitionTime", null);
  }
}

const nodeInfoFields = [
  "machineID",
  "systemUUID",
  "bootID",
  "kernelVersion",
  "osImage",
  "containerRuntimeVersion",
  "kubeletVersion",
  "kubeProxyVersion",
  "operatingSystem",
  "architecture",
];

export function defaultSecret(object: JsonObject): void {
  setDefaultText(object, "type", "Opaque");
  const plain = childOf(object, "stringData");
  if (plain === undefined) return;
  const data = ensureChild(object, "data");
  for (const [key, value] of Object.entries(plain))
    if (typeof value === "string") data[key] = new TextEncoder().encode(value).toBase64();
  delete object.stringData;
}

export function defaultService(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  setDefaultText(spec, "sessionAffinity", "None");
  setDefaultText(spec, "type", "ClusterIP");
  if (spec.sessionAffinity === "ClientIP") {
    const config = ensureChild(ensureChild(spec, "sessionAffinityConfig"), "clientIP");
    setDefault(config, "timeoutSeconds", 10_800);
  }
  for (const port of itemsOf(spec, "ports")) {
    setDefaultText(port, "protocol", "TCP");
    if (isUnset(port.targetPort)) port.targetPort = port.port ?? 0;
  }
  if (spec.type !== "ExternalName") defaultAddressing(spec);
  ensureChild(ensureChild(object, "status"), "loadBalancer");
}

function defaultAddressing(spec: JsonObject): void {
  const exposed = spec.type === "NodePort" || spec.type === "LoadBalancer";
  if (exposed) setDefaultText(spec, "externalTrafficPolicy", "Cluster");
  setDefaultText(spec, "internalTrafficPolicy", "Cluster");
  if (spec.type === "LoadBalancer") setDefault(spec, "allocateLoadBalancerNodePorts", true);
  const ip = textOf(spec, "clusterIP");
  // Users write the endpoints of a service without selector and address, of either family.
  const isFree = ip === "None" && Object.keys(childOf(spec, "selector") ?? {}).length === 0;
  if (isFree && spec.ipFamilies === undefined && spec.ipFamilyPolicy === undefined) {
    spec.ipFamilies = ["IPv4", "IPv6"];
    spec.ipFamilyPolicy = "RequireDualStack";
  }
  setDefault(spec, "ipFamilies", ["IPv4"]);
  setDefaultText(spec, "ipFamilyPolicy", "SingleStack");
  if (ip !== "") setDefault(spec, "clusterIPs", [ip]);
}

function isUnset(value: Json | undefined): boolean {
  return value === undefined || value === null || value === 0 || value === "";
}

export function defaultEndpoints(object: JsonObject): void {
  for (const subset of itemsOf(object, "subsets"))
    for (const port of itemsOf(subset, "ports")) setDefaultText(port, "protocol", "TCP");
}

export function defaultEndpointSlice(object: JsonObject): void {
  for (const port of itemsOf(object, "ports")) {
    setDefault(port, "name", "");
    setDefaultText(port, "protocol", "TCP");
  }
}

export function defaultEvent(object: JsonObject): void {
  for (const field of ["eventTime", "firstTimestamp", "lastTimestamp"]) setDefault(object, field, null);
  for (const field of ["reportingComponent", "reportingInstance"]) setDefault(object, field, "");
  setDefault(object, "source", {});
}

export function defaultPersistentVolume(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  setDefaultText(spec, "persistentVolumeReclaimPolicy", "Retain");
  setDefaultText(spec, "volumeMode", "Filesystem");
  const hostPath = childOf(spec, "hostPath");
  if (hostPath !== undefined) setDefault(hostPath, "type", "");
  const iscsi = childOf(spec, "iscsi");
  if (iscsi !== undefined) setDefaultText(iscsi, "iscsiInterface", "default");
  setDefaultText(ensureChild(object, "status"), "phase", "Pending");
}

export function defaultPersistentVolumeClaim(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  setDefaultText(spec, "volumeMode", "Filesystem");
  // The two fields say the same where both can.
  const [source, reference] = [childOf(spec, "dataSource"), childOf(spec, "dataSourceRef")];
  if (source !== undefined) setDefault(spec, "dataSourceRef", { ...source });
  else if (reference !== undefined && reference.namespace === undefined) spec.dataSource = { ...reference };
  setDefaultText(ensureChild(object, "status"), "phase", "Pending");
}

export function defaultRoleBinding(object: JsonObject): void {
  setDefaultText(ensureChild(object, "roleRef"), "apiGroup", rbacGroup);
  for (const subject of itemsOf(object, "subjects"))
    if (subject.kind === "User" || subject.kind === "Group") setDefaultText(subject, "apiGroup", rbacGroup);
}

export function defaultLease(object: JsonObject): void {
  ensureChild(object, "spec");
}

export function defaultPriorityClass(object: JsonObject): void {
  setDefaultText(object, "preemptionPolicy", "PreemptLowerPriority");
  setDefault(object, "value", 0);
}

export function defaultCrd(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  const names = ensureChild(spec, "names");
  const kind = textOf(names, "kind");
  if (kind !== "") {
    setDefaultText(names, "singular", kind.toLowerCase());
    setDefaultText(names, "listKind", `${kind}List`);
  }
  const conversion = ensureChild(spec, "conversion");
  setDefaultText(conversion, "strategy", "None");
  const service = childOf(childOf(childOf(conversion, "webhook"), "clientConfig"), "service");
  if (service) setDefault(service, "port", 443);
  for (const version of itemsOf(spec, "versions"))
    for (const column of itemsOf(version, "additionalPrinterColumns"))
      if (numberOf(column, "priority") === 0) delete column.priority;
  const status = ensureChild(object, "status");
  setDefault(status, "conditions", []);
  setDefault(status, "acceptedNames", { plural: "", kind: "" });
  setDefault(status, "storedVersions", []);
}

export function defaultPodDisruptionBudget(object: JsonObject): void {
  const status = ensureChild(object, "status");
  for (const count of ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"])
    setDefault(status, count, 0);
}
