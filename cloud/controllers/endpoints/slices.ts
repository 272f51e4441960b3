import { isIP } from "node:net";
import type { KubeObject, ObjectReference, Pod } from "#shared/kube";
import {
  addressOf,
  isReady,
  isTerminating,
  portsFor,
  type EndpointPort,
  type Service,
  type Subset,
} from "./subsets.ts";

/** An EndpointSlice without its metadata. */
export interface SliceContent {
  readonly addressType: "IPv4" | "IPv6";
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface EndpointSlice extends KubeObject, Partial<SliceContent> {}

interface SlicePort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
}

interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly conditions: {
    readonly ready: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
  readonly nodeName?: string;
  readonly hostname?: string;
  readonly targetRef?: ObjectReference;
}

/** The default of kube-controller-manager's --max-endpoints-per-slice. */
const mostEndpoints = 100;

/** The slices of a Service with a selector, in a stable order, as kube-controller-manager's pkg/controller/endpointslice. */
export function slicesOf(service: Service, pods: readonly Pod[]): SliceContent[] {
  if (service.spec?.type === "ExternalName") return [];
  const ordered = pods.toSorted((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  const found = ordered.flatMap((pod) => {
    const address = addressOf(pod);
    if (!address) return [];
    return [{ ip: address.ip, ports: portsFor(service, pod), endpoint: endpointOf(service, pod, address) }];
  });
  // A Service without pods has an empty slice: readers see that it was looked at.
  return found.length > 0 ? grouped(found) : [{ addressType: "IPv4", ports: [], endpoints: [] }];
}

/** The slices that mirror Endpoints made by hand, as pkg/controller/endpointslicemirroring. */
export function mirrorOf(subsets: readonly Subset[]): SliceContent[] {
  return grouped(
    subsets.flatMap(({ addresses = [], notReadyAddresses = [], ports = [] }) =>
      [
        ...addresses.map((one) => [one, true] as const),
        ...notReadyAddresses.map((one) => [one, false] as const),
      ].map(([{ ip, nodeName, targetRef, hostname }, ready]) => ({
        ip,
        ports,
        endpoint: {
          addresses: [ip],
          conditions: { ready },
          ...(hostname !== undefined && { hostname }),
          ...(nodeName !== undefined && { nodeName }),
          ...(targetRef && { targetRef }),
        },
      })),
    ),
  );
}

interface Found {
  readonly ip: string;
  readonly ports: readonly EndpointPort[];
  readonly endpoint: SliceEndpoint;
}

/** By family and ports, as a slice has one of each. */
function grouped(found: readonly Found[]): SliceContent[] {
  const groups = Map.groupBy(found, ({ ip, ports }) => JSON.stringify([isIP(ip), ports]));
  return [...groups]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, group]) => {
      const [{ ip, ports } = { ip: "", ports: [] }] = group;
      const endpoints = group.map(({ endpoint }) => endpoint);
      return Array.from({ length: Math.ceil(endpoints.length / mostEndpoints) }, (_, index) => ({
        addressType: isIP(ip) === 6 ? ("IPv6" as const) : ("IPv4" as const),
        ports: ports.map(({ name = "", port, protocol = "TCP" }) => ({ name, port, protocol })),
        endpoints: endpoints.slice(index * mostEndpoints, (index + 1) * mostEndpoints),
      }));
    });
}

function endpointOf(
  service: Service,
  pod: Pod,
  { ip, nodeName, targetRef }: NonNullable<ReturnType<typeof addressOf>>,
): SliceEndpoint {
  const serving = isReady(pod);
  const terminating = isTerminating(pod);
  const published = service.spec?.publishNotReadyAddresses === true;
  const { hostname, subdomain } = pod.spec;
  return {
    addresses: [ip],
    conditions: { ready: published || (serving && !terminating), serving, terminating },
    ...(nodeName !== undefined && { nodeName }),
    ...(hostname !== undefined && subdomain === service.metadata.name && { hostname }),
    targetRef,
  };
}
