import { parseQuantity, type Container, type Pod } from "#shared/kube";

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** Amounts by resource in thousandths of its unit: whole numbers, so that sums stay exact. */
export type Amounts = ReadonlyMap<string, number>;

const nanoPerThousandth = 1_000_000n;

/**
 * What a pod requests: the sum over its containers, or the largest init container with the sidecars before it, whichever is
 * more; plus overhead (KEP-753, KEP-688).
 */
export function requestsOf(pod: Pod): Map<string, number> {
  const running = new Map<string, number>();
  const starting = new Map<string, number>();
  for (const container of pod.spec.initContainers ?? []) {
    const sidecar = container.restartPolicy === "Always";
    for (const [resource, amount] of amountsOf(container.resources?.requests)) {
      const total = (running.get(resource) ?? 0) + amount;
      if (sidecar) running.set(resource, total);
      starting.set(resource, Math.max(starting.get(resource) ?? 0, total));
    }
  }
  for (const container of pod.spec.containers) addAmounts(running, amountsOf(container.resources?.requests));
  for (const [resource, amount] of starting)
    running.set(resource, Math.max(running.get(resource) ?? 0, amount));
  addAmounts(running, amountsOf(pod.spec.overhead));
  return running;
}

/** What a node gives. */
export function offersOf(given: Readonly<Record<string, string>>): Map<string, number> {
  return new Map(
    Object.entries(given).map(([resource, text]) => [resource, Number(nanoOf(text) / nanoPerThousandth)]),
  );
}

export function addAmounts(total: Map<string, number>, amounts: Iterable<readonly [string, number]>): void {
  for (const [resource, amount] of amounts) total.set(resource, (total.get(resource) ?? 0) + amount);
}

/** Exact: 700m is 700.0000000000001 thousandths as a number. An invalid quantity counts as 0. */
function nanoOf(text: string | undefined): bigint {
  return parseQuantity(text ?? "")?.nano ?? 0n;
}

function amountsOf(requests: Record<string, string> | undefined): [string, number][] {
  return Object.entries(requests ?? {}).flatMap(([resource, text]): [string, number][] => {
    const amount = Number((nanoOf(text) + nanoPerThousandth - 1n) / nanoPerThousandth);
    return amount > 0 ? [[resource, amount]] : [];
  });
}

/** The ports of the host that the containers of a pod take. */
export function hostPortsOf({ spec }: Pod): HostPort[] {
  return spec.containers.flatMap((container) => portsOf(container, spec.hostNetwork));
}

function portsOf(container: Container, hostNetwork: boolean | undefined): HostPort[] {
  return (container.ports ?? []).flatMap(({ hostPort, containerPort, hostIP, protocol }) => {
    const port = hostPort ?? (hostNetwork === true ? containerPort : 0);
    return port > 0 ? [{ port, ip: hostIP || "0.0.0.0", protocol: protocol ?? "TCP" }] : [];
  });
}

/** Whether one of the ports is among those that others have. */
export function portsCollide(wanted: readonly HostPort[], others: Iterable<readonly HostPort[]>): boolean {
  if (wanted.length === 0) return false;
  const byId = Map.groupBy(wanted, portId);
  for (const ports of others)
    for (const taken of ports)
      if (byId.get(portId(taken))?.some((port) => sharesAddress(port, taken))) return true;
  return false;
}

function portId({ protocol, port }: HostPort): string {
  return `${protocol}/${port}`;
}

function sharesAddress(a: HostPort, b: HostPort): boolean {
  return a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
}
