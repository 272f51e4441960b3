import { mkdirSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { AppError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import type { NfsSource } from "#shared/volumes";
import { mountPoints } from "./mount-table.ts";
import { runTool } from "./tool.ts";

export interface NfsTools {
  readonly clock: Clock;
  /** Aborted when the pod ends. */
  readonly signal: AbortSignal;
}

/** mount.nfs tries a server that does not answer for two minutes, then again and again with `bg`. */
const mountMs = 60_000;
/** Where `mount` looks for its helpers. */
const helperPath = "/sbin:/sbin/fs.d:/sbin/fs:/usr/sbin:/run/current-system/sw/bin";
/** For a server that is asked for the room it has. */
const answerMs = 10_000;

/**
 * Mounts a directory of an NFS server by the host's mount.nfs, unless it is mounted already. Nothing here looks into it: a
 * server that hangs would hold up edgecore. @throws AppError
 */
export async function mountNfs(source: NfsSource, path: string, tools: NfsTools): Promise<void> {
  const name = exportName(source);
  const point = join(realpathSync(dirname(path)), basename(path));
  if ((await mountPoints()).includes(point)) return;
  if (process.getuid?.() !== 0) throw failed("edgecore has to run as root");
  if (Bun.which("mount.nfs", { PATH: helperPath }) === null)
    throw failed(
      'mount.nfs is not installed on this node; on Debian and Ubuntu: "apt-get install nfs-common"',
    );
  mkdirSync(point, { recursive: true, mode: 0o750 });
  const all = [...source.options, ...(source.readOnly ? ["ro"] : [])];
  const options = all.length > 0 ? ["-o", all.join(",")] : [];
  const command = ["mount", "-t", "nfs", ...options, name, point];
  const failure = await runTool(command, { ...tools, limitMs: mountMs });
  if (failure !== undefined) throw failed(`mount of ${name} failed: ${failure}`);
  // With the option `bg` mount.nfs goes on by itself; until then the pod would write into the directory below.
  if (!(await mountPoints()).includes(point)) throw failed(`${name} is not mounted yet`);
}

/** "files.example:/srv", with an IPv6 address in brackets. */
function exportName({ server, path, options }: NfsSource): string {
  const named = server.includes(":") && !server.startsWith("[") ? `[${server}]` : server;
  const isBad = server === "" || server.startsWith("-") || !path.startsWith("/");
  if (isBad || [server, path, ...options].some((part) => part.includes("\0")))
    throw failed(`${JSON.stringify(`${named}:${path}`)} is no directory of a server`);
  return `${named}:${path}`;
}

/** Asks the server of a mounted directory whether it answers. @throws AppError when it does not */
export async function checkNfs(path: string, tools: NfsTools): Promise<void> {
  const failure = await runTool(["stat", "-f", path], { ...tools, limitMs: answerMs });
  if (failure !== undefined) throw failed(`the NFS server does not answer: ${failure}`);
}

function failed(message: string): AppError {
  return new AppError("nfs", message);
}
