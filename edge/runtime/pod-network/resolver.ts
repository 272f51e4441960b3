import { readFileSync } from "node:fs";
import type { Dns } from "#edge/runtime";

/** The first is that of the machine; the second has the servers behind the local one of systemd-resolved. */
const files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] as const;

/**
 * What a pod with a network of its own asks: what is given, and the machine's own where nothing is. An engine of the CRI writes
 * exactly what it is given, and the loopback of the machine is not that of the pod.
 */
export function podResolver(dns: Dns | undefined, read: (path: string) => string = readText): Dns {
  const own = hostResolver(read);
  const either = (field: keyof Dns): readonly string[] =>
    dns && dns[field].length > 0 ? dns[field] : own[field];
  return { servers: either("servers"), searches: either("searches"), options: either("options") };
}

function hostResolver(read: (path: string) => string): Dns {
  const [own, behind] = files.map((path) => parseResolver(read(path)));
  const reachable = [own, behind].find((one) => one?.servers.some((server) => !isLoopback(server)));
  const found = reachable ?? own ?? { servers: [], searches: [], options: [] };
  return { ...found, servers: found.servers.filter((server) => !isLoopback(server)) };
}

/** resolv.conf(5). */
function parseResolver(text: string): Dns {
  const rows = text.split("\n").map((line) => line.trim().split(/\s+/));
  const valuesOf = (word: string): string[][] =>
    rows.filter(([first]) => first === word).map((row) => row.slice(1));
  return {
    servers: valuesOf("nameserver").flatMap(([server = ""]) => (server === "" ? [] : [server])),
    searches: valuesOf("search").at(-1) ?? [],
    options: valuesOf("options").flat(),
  };
}

function isLoopback(server: string): boolean {
  return server.startsWith("127.") || server === "::1";
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // A machine may have neither.
    return "";
  }
}
