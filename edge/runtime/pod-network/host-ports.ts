import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "#shared/errors";
import type { PodNetwork, PortBinding, RuntimeCode } from "#edge/runtime";

type Port = Pick<PortBinding, "protocol" | "hostPort" | "hostIp">;

/** A socket of this machine that takes what arrives at a port. */
interface Listener {
  readonly port: number;
  /** The address in hexadecimal, as the kernel prints it; zeros for all addresses. */
  readonly address: string;
}

/** State of sockets that listen: TCP_LISTEN, and for UDP that of every socket without a peer. */
const listening = { tcp: "0A", udp: "07" } as const;

/**
 * The first of the ports of a pod at which a program of this machine listens. Engines of the CRI redirect what arrives there
 * (portmap), and take the port from that program without a word. Undefined where all are free; SCTP is not looked at.
 */
export function findTakenPort<P extends Port>(ports: readonly P[], proc = "/proc"): P | undefined {
  return ports.find(({ protocol, hostPort, hostIp }) => {
    if (protocol === "sctp" || hostPort === 0) return false;
    const wanted = hexAddress(hostIp);
    return [protocol, `${protocol}6`]
      .flatMap((name) => readListeners(join(proc, "net", name), listening[protocol]))
      .some(({ port, address }) => port === hostPort && overlap(address, wanted));
  });
}

/**
 * As Docker does, which holds the ports itself. `what` completes "Cannot …".
 * @throws AppError "engine-refused" when a program of this machine listens at a port of the pod
 */
export function refuseTakenPorts(what: string, network: PodNetwork): void {
  const taken = network.kind === "own" ? findTakenPort(network.ports) : undefined;
  if (!taken) return;
  const { hostIp, hostPort, protocol } = taken;
  throw new AppError(
    "engine-refused" satisfies RuntimeCode,
    `Cannot ${what}: host port ${hostIp}:${hostPort}/${protocol} is already in use by a program of the node`,
  );
}

function readListeners(path: string, state: string): Listener[] {
  return readText(path)
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , found]) => found === state)
    .map(([, local = ""]) => {
      const [address = "", port = ""] = local.split(":");
      return { address, port: Number.parseInt(port, 16) };
    });
}

/** An IPv4 address as the kernel prints it on machines with the lowest byte first; undefined for all addresses and for IPv6. */
function hexAddress(ip: string): string | undefined {
  const bytes = ip.split(".").map(Number);
  if (bytes.length !== 4 || bytes.every((byte) => byte === 0)) return undefined;
  return Buffer.from(bytes.toReversed()).toString("hex").toUpperCase();
}

/** All addresses overlap with each. One of IPv6 may be an IPv4 address at its end. */
function overlap(address: string, wanted: string | undefined): boolean {
  return wanted === undefined || /^0+$/.test(address) || address.endsWith(wanted);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // A kernel without IPv6.
    return "";
  }
}
