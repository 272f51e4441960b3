import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";

/** Where pods reach this machine: an address, and the network that may use it. */
export interface PodNetwork {
  readonly address: string;
  /** Whether a peer is in that network. */
  readonly includes: (peer: string) => boolean;
}

/** Texts of the kernel: `/proc/net/route` and `/proc/net/fib_trie`. */
export interface KernelRoutes {
  readonly route: string;
  readonly trie: string;
}

/** The bridges of pods with a network of their own: Docker's default, and that of the configurations of CNI. */
const bridges: readonly string[] = ["docker0", "cni0"];

/**
 * The network of pods: those of the usual bridges for "auto", or the one that the given address of this machine is in. Undefined
 * while there is none, and for "". Read from the kernel's routes, since a bridge without containers is no active interface.
 */
export function findPodNetwork(
  setting: string,
  read: () => KernelRoutes = readRoutes,
): PodNetwork | undefined {
  if (setting === "") return undefined;
  const { route, trie } = read();
  const locals = [...trie.matchAll(/\|-- (\S+)\s+\/32 host LOCAL/g)].map(([, address = ""]) => address);
  if (setting === "auto") return networkOfBridges(parseRoutes(route), locals);
  for (const one of parseRoutes(route))
    if (locals.includes(setting) && isIn(one, setting))
      return { address: setting, includes: (peer) => isIn(one, peer) };
  return undefined;
}

/** A node has engines of both kinds, maybe: pods of either reach the address of either bridge. */
function networkOfBridges(routes: readonly Route[], locals: readonly string[]): PodNetwork | undefined {
  const networks = bridges.flatMap((bridge) => routes.filter(({ name }) => name === bridge));
  const addresses = networks.flatMap((one) => locals.find((local) => isIn(one, local)) ?? []);
  const [address] = addresses;
  return address === undefined
    ? undefined
    : { address, includes: (peer) => networks.some((one) => isIn(one, peer)) };
}

function isIn({ network, mask }: Route, peer: string): boolean {
  const plain = peer.replace(/^::ffff:/i, "");
  return isIPv4(plain) && (numberOf(plain) & mask) >>> 0 === network;
}

interface Route {
  readonly name: string;
  readonly network: number;
  readonly mask: number;
}

/** Networks that are reached directly, the narrowest first. */
function parseRoutes(text: string): Route[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, destination, gateway]) => gateway === "00000000" && destination !== "00000000")
    .map(([name = "", destination = "", , , , , , mask = ""]) => ({
      name,
      network: hexNumber(destination),
      mask: hexNumber(mask),
    }))
    .toSorted((a, b) => b.mask - a.mask);
}

/** In the byte order of the machine, which is little-endian on all that Bun runs on. */
function hexNumber(text: string): number {
  return Number.parseInt(text.match(/../g)?.toReversed().join("") ?? "0", 16) >>> 0;
}

function numberOf(address: string): number {
  return address.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

function readRoutes(): KernelRoutes {
  const text = (path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      // Elsewhere than on Linux, and in some sandboxes, it is not there.
      return "";
    }
  };
  return { route: text("/proc/net/route"), trie: text("/proc/net/fib_trie") };
}
