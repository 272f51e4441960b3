import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { eventually, startService, type ServiceProcess } from "#internal/scripts/service.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";

const root = resolve(import.meta.dir, "../../..");

function writeUntilFull(file: number, bytes: number): void {
  const chunk = Buffer.alloc(bytes);
  for (;;) writeSync(file, chunk);
}

/** @returns the file that takes all the room */
function fillUp(folder: string): string {
  const path = join(folder, "fill");
  const file = openSync(path, "w");
  try {
    for (const bytes of [1024 * 1024, 4096, 1]) expect(() => writeUntilFull(file, bytes)).toThrow("ENOSPC");
  } finally {
    closeSync(file);
  }
  return path;
}

interface Edge {
  readonly service: ServiceProcess;
  readonly log: () => string;
}

async function startEdge(folder: string, disk: string): Promise<Edge> {
  const config = join(folder, "edge.yaml");
  writeFileSync(
    config,
    `data-dir: ${join(disk, "data")}
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:1", https: "https://127.0.0.1:1" }
edged: { hostname-override: full, docker-address: "unix://${folder}/none.sock", read-only-port: 0 }
devicetwin: { query-port: 0, dmi-socket: "" }
meta-server: { port: 0 }
`,
  );
  const log = join(folder, `log-${crypto.randomUUID()}`);
  const words = [process.execPath, join(root, "edge/main.ts"), "--config", config];
  const service = startService("edgecore", words, log);
  const logText = () => readFileSync(log, "utf8");
  await Promise.race([
    service.failed,
    eventually(15_000, async () => {
      if (!logText().includes('"msg":"running"')) throw new Error(`edgecore does not run: ${logText()}`);
    }),
  ]);
  return { service, log: logText };
}

const lockOf = (disk: string): string => join(disk, "data/edgecore.lock");

test.skipIf(!hasSmallDisks()).each(["killed", "stopped"] as const)(
  "edgecore starts again on a disk that became full after it was %s, and holds its directory alone",
  async (how) => {
    using dir = tempDir("kubeedge-full");
    const disk = join(dir.path, "disk");
    using _mounted = smallDisk(disk, "16m");
    const first = await startEdge(dir.path, disk);
    if (how === "killed") {
      process.kill(first.service.pid, "SIGKILL");
      await first.service.failed.catch(() => undefined);
    } else await first.service[Symbol.asyncDispose]();
    const fill = fillUp(disk);
    const second = await startEdge(dir.path, disk);
    await using _second = second.service;
    await expect(startEdge(dir.path, disk)).rejects.toThrow(`process ${second.service.pid} holds it`);
    rmSync(fill);
    await expect(startEdge(dir.path, disk)).rejects.toThrow(`process ${second.service.pid} holds it`);
    await second.service[Symbol.asyncDispose]();
    const third = await startEdge(dir.path, disk);
    expect(JSON.parse(readFileSync(lockOf(disk), "utf8"))).toMatchObject({ pid: third.service.pid });
    await third.service[Symbol.asyncDispose]();
  },
  40_000,
);
