import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The open sockets of a process: inode → what it is. Linux only; empty elsewhere. */
export function socketsOf(pid: number): ReadonlyMap<string, string> {
  const tables = new Map([...tcpSockets(pid), ...unixSockets(pid)]);
  const found = new Map<string, string>();
  for (const fd of entriesOf(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1];
    const description = inode === undefined ? undefined : tables.get(inode);
    if (inode !== undefined && description !== undefined) found.set(inode, description);
  }
  return found;
}

/** The living children of a process: pid → command line. Linux only; empty elsewhere. */
export function childrenOf(pid: number): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const name of entriesOf("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    // The command in parentheses may contain spaces; state and parent follow it.
    const [, state, parent] = /^\d+ \(.*\) (\S) (\d+) /s.exec(textOf(`/proc/${name}/stat`)) ?? [];
    if (Number(parent) !== pid || state === "Z" || state === "X") continue;
    found.set(Number(name), textOf(`/proc/${name}/cmdline`).replaceAll("\0", " ").trim());
  }
  return found;
}

const states: Readonly<Record<string, string>> = {
  "01": "connected",
  "08": "half closed",
  "0A": "listening",
};

function* tcpSockets(pid: number): Iterable<[string, string]> {
  for (const table of ["tcp", "tcp6"])
    for (const line of textOf(`/proc/${pid}/net/${table}`).split("\n").slice(1)) {
      const [, local = "", remote = "", state = "", , , , , , inode] = line.trim().split(/\s+/);
      const what = states[state];
      if (inode === undefined || what === undefined) continue;
      const peer = what === "listening" ? "" : `, peer port ${portOf(remote)}`;
      yield [inode, `${what} socket on port ${portOf(local)}${peer}`];
    }
}

function portOf(address: string): number {
  return Number.parseInt(address.split(":")[1] ?? "", 16);
}

const listening = "00010000";

function* unixSockets(pid: number): Iterable<[string, string]> {
  for (const line of textOf(`/proc/${pid}/net/unix`).split("\n").slice(1)) {
    const [, , , flags, , , inode, path] = line.trim().split(/\s+/);
    if (inode !== undefined && path !== undefined && flags === listening)
      yield [inode, `listening socket at ${path}`];
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
