import { hasLabels, type KubeObject, type ObjectReference, type Pod } from "#shared/kube";

export interface ServicePort {
  name?: string;
  port: number;
  targetPort?: number | string;
  protocol?: string;
}

export interface Service extends KubeObject {
  spec?: {
    type?: string;
    selector?: Record<string, string>;
    ports?: ServicePort[];
    clusterIP?: string;
    publishNotReadyAddresses?: boolean;
  };
}

export interface EndpointAddress {
  ip: string;
  hostname?: string;
  nodeName?: string;
  targetRef?: ObjectReference;
}

export interface EndpointPort {
  name?: string;
  port: number;
  protocol?: string;
}

export interface Subset {
  addresses?: EndpointAddress[];
  notReadyAddresses?: EndpointAddress[];
  ports?: EndpointPort[];
}

/** Whether a pod is an endpoint of a Service; a Service without a selector has endpoints made by others. */
export function selectsPod(service: Service, pod: Pod): boolean {
  const selector = service.spec?.selector ?? {};
  const { labels = {}, namespace } = pod.metadata;
  if (Object.keys(selector).length === 0 || service.metadata.namespace !== namespace) return false;
  return hasLabels(labels, selector);
}

/** The addresses of a Service's pods, grouped by their ports, in a stable order; as endpoints.RepackSubsets. */
export function subsetsOf(service: Service, pods: readonly Pod[]): Subset[] {
  const byPorts = new Map<string, Subset>();
  const ordered = pods.toSorted((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  for (const pod of ordered) {
    const address = addressOf(pod);
    if (!address) continue;
    const ports = portsFor(service, pod);
    if (ports.length === 0 && service.spec?.clusterIP !== "None") continue;
    const id = JSON.stringify(ports);
    const subset = byPorts.get(id) ?? { ...(ports.length > 0 && { ports }) };
    byPorts.set(id, subset);
    const list = isServing(service, pod) ? "addresses" : "notReadyAddresses";
    (subset[list] ??= []).push(address);
  }
  return [...byPorts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, subset]) => subset);
}

/** The ports of a Service as a pod serves them; those that it does not name are left out. */
export function portsFor(service: Service, pod: Pod): EndpointPort[] {
  const named = namedPortsOf(pod);
  return (service.spec?.ports ?? []).flatMap((port) => portOf(port, named));
}

/** The labels of the Endpoints: those of the Service, and the mark of a headless one. */
export function endpointsLabels(service: Service): Record<string, string> {
  const headless = service.spec?.clusterIP === "None";
  return { ...service.metadata.labels, ...(headless && { "service.kubernetes.io/headless": "" }) };
}

/** Undefined: it has none, or none any longer. */
export function addressOf(pod: Pod): (EndpointAddress & { targetRef: ObjectReference }) | undefined {
  const { podIP, phase } = pod.status ?? {};
  if (!podIP || phase === "Succeeded" || phase === "Failed") return undefined;
  const { name, namespace, uid } = pod.metadata;
  return {
    ip: podIP,
    ...(pod.spec.nodeName && { nodeName: pod.spec.nodeName }),
    targetRef: {
      kind: "Pod",
      ...(namespace !== undefined && { namespace }),
      ...(name !== undefined && { name }),
      ...(uid !== undefined && { uid }),
    },
  };
}

function isServing(service: Service, pod: Pod): boolean {
  if (service.spec?.publishNotReadyAddresses === true) return true;
  return !isTerminating(pod) && isReady(pod);
}

export function isTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

export function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
}

/** Container ports by protocol and name, indexed once, as a Service and a pod may have 10,000 ports each. */
function namedPortsOf(pod: Pod): ReadonlyMap<string, number> {
  const named = new Map<string, number>();
  for (const { name, protocol = "TCP", containerPort } of pod.spec.containers.flatMap(
    (container) => container.ports ?? [],
  ))
    if (name && !named.has(`${protocol}/${name}`)) named.set(`${protocol}/${name}`, containerPort);
  return named;
}

function portOf(port: ServicePort, named: ReadonlyMap<string, number>): EndpointPort[] {
  const protocol = port.protocol ?? "TCP";
  const { targetPort = port.port } = port;
  const number = typeof targetPort === "number" ? targetPort : named.get(`${protocol}/${targetPort}`);
  if (number === undefined || number === 0) return [];
  return [{ ...(port.name && { name: port.name }), port: number, protocol }];
}
