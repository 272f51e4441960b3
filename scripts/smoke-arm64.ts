import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, freePorts, run, startService } from "./service.ts";

/** Starts dist/linux-arm64/edgecore under qemu and looks at what it did; exit 1 when something is missing. */
const root = join(import.meta.dir, "..");
const sysroot = process.argv[2] ?? "";
const binary = join(root, "dist/linux-arm64/edgecore");
const qemu = ["qemu-aarch64-static", "-L", sysroot, binary];
const folder = mkdtempSync(join(tmpdir(), "kubeedge-arm64-"));
const log = join(folder, "edgecore.log");

async function smoke(): Promise<void> {
  console.log(`arm64: ${(await run([...qemu, "--version"])).trim()}`);
  const [mqtt = 0, edged = 0, nobody = 0] = freePorts(3);
  const config = join(folder, "edge.yaml");
  writeFileSync(
    config,
    `data-dir: ${folder}/data
mqtt: { internal-server: "tcp://127.0.0.1:${mqtt}" }
edgehub: { server: "127.0.0.1:${nobody}" }
edged: { hostname-override: smoke, docker-address: "unix://${folder}/none.sock", read-only-port: ${edged} }
`,
  );
  const words = [...qemu, "--config", config];
  await using edgecore = startService("edgecore", words, log);
  await Promise.race([edgecore.failed, eventually(60_000, () => expectState(mqtt))]);
  console.log(`arm64: runs as ${edgecore.pid}, database open, MQTT answers on port ${mqtt}`);
}

async function expectState(mqtt: number): Promise<void> {
  if (!existsSync(join(folder, "data/edgecore.db"))) throw new Error("no database");
  await greetBroker(mqtt);
}

/** A CONNECT and the CONNACK to it, spoken by hand. */
async function greetBroker(port: number): Promise<void> {
  const answer = Promise.withResolvers<Uint8Array>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket, bytes) => answer.resolve(bytes),
      close: () => answer.reject(new Error("closed")),
    },
  });
  socket.write(new Uint8Array([0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 60, 0, 1, 0x73]));
  const [kind, , , code] = await answer.promise;
  socket.end();
  if (kind !== 0x20 || code !== 0) throw new Error(`the broker answered ${kind} ${code}`);
}

try {
  await smoke();
} catch (error) {
  console.error(`arm64: ${error instanceof Error ? error.message : String(error)}`);
  if (existsSync(log)) console.error(readFileSync(log, "utf8").split("\n").slice(-10).join("\n"));
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
