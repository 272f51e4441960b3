import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";

/** Where pods reach this machine: an address, and the network that may use it. */
export interface PodNetwork {
  readonly address: string;
  /** Whether a peer is in that network. */
  readonly includes: (peer: string) => boolean;
}

/** The bridge of pods with a network of their own: Docker's default. */
const bridge = "docker0";

/**
 * The network of pods: that of Docker's bridge for "auto", or the one of the interface with the given address. Undefined
 * while there is none, and for "".
 */
export function findPodNetwork(
  setting: string,
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
): PodNetwork | undefined {
  if (setting === "") return undefined;
  const addresses = setting === "auto" ? (interfaces[bridge] ?? []) : Object.values(interfaces).flat();
  const found = addresses.find(
    (one) => one?.family === "IPv4" && (setting === "auto" || one.address === setting),
  );
  const [, bits] = found?.cidr?.split("/") ?? [];
  if (!found || bits === undefined) return undefined;
  const mask = Number(bits) === 0 ? 0 : (~0 << (32 - Number(bits))) >>> 0;
  const network = (numberOf(found.address) & mask) >>> 0;
  return {
    address: found.address,
    includes: (peer) => {
      const plain = peer.replace(/^::ffff:/i, "");
      return isIPv4(plain) && (numberOf(plain) & mask) >>> 0 === network;
    },
  };
}

function numberOf(address: string): number {
  return address.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}
