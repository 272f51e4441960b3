import { asRecord, asText, isRecord } from "#shared/json";
import { isMirrorPod, serviceLinksField, type KubeObject, type Pod } from "#shared/kube";

export interface ServiceLink {
  readonly name: string;
  readonly ip: string;
  readonly ports: readonly LinkedPort[];
}

export interface LinkedPort {
  readonly port: number;
  /** As of the Service; empty when it has one port without a name. */
  readonly name: string;
  readonly protocol: string;
}

/** Each costs some 60 bytes of the link, and ten variables of every container. */
const mostLinks = 200;

/**
 * The pod with the addresses of the Services of its namespace, as it is delivered: what kubelet reads from its own copy of
 * all Services. They stay as they were then, until the pod itself is delivered again.
 */
export function withServiceLinks(pod: Pod, services: readonly KubeObject[]): Pod {
  // A mirror pod is what its node claims: it gives the node no right to anything.
  if (pod.spec["enableServiceLinks"] === false || isMirrorPod(pod)) return pod;
  const links = services
    .flatMap(linkOf)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .slice(0, mostLinks);
  return links.length === 0 ? pod : { ...pod, [serviceLinksField]: links };
}

/** Services without an address are reached by name alone; the API itself has another address on each node. */
function linkOf({ metadata: { namespace, name = "" }, spec }: KubeObject): ServiceLink[] {
  const fields = asRecord(spec);
  const ip = asText(fields?.["clusterIP"]);
  if (ip === "" || ip === "None" || (namespace === "default" && name === "kubernetes")) return [];
  return [{ name, ip, ports: portsOf(fields?.["ports"]) }];
}

/** The links that a delivered pod has; the API keeps no such field, so that no author of a pod can write it. */
export function serviceLinksOf(pod: Pod): ServiceLink[] {
  const links: unknown = Object.hasOwn(pod, serviceLinksField) ? pod[serviceLinksField] : undefined;
  return (Array.isArray(links) ? links : []).filter(isRecord).map((link) => ({
    name: asText(link["name"]),
    ip: asText(link["ip"]),
    ports: portsOf(link["ports"]),
  }));
}

function portsOf(ports: unknown): LinkedPort[] {
  return (Array.isArray(ports) ? ports : []).filter(isRecord).map(({ port, name, protocol }) => ({
    port: Number(port),
    name: asText(name),
    protocol: asText(protocol) || "TCP",
  }));
}
