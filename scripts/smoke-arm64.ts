import { Database } from "bun:sqlite";
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
  const [mqtt = 0, nobody = 0] = freePorts(2);
  const config = join(folder, "edge.yaml");
  writeFileSync(
    config,
    `data-dir: ${folder}/data
mqtt: { internal-server: "tcp://127.0.0.1:${mqtt}" }
edgehub: { server: "127.0.0.1:${nobody}" }
edged: { hostname-override: smoke, docker-address: "unix://${folder}/none.sock" }
devicetwin: { query-port: 0, dmi-socket: "" }
meta-server: { port: 0 }
`,
  );
  const words = [...qemu, "--config", config];
  await using edgecore = startService("edgecore", words, log);
  await Promise.race([edgecore.failed, eventually(60_000, () => expectState(mqtt))]);
  console.log(`arm64: runs as ${edgecore.pid}, database open, MQTT port ${mqtt} took a message`);
}

/** The database is opened by another SQLite while the program has it, and the broker takes a message. */
async function expectState(mqtt: number): Promise<void> {
  const file = join(folder, "data/edgecore.db");
  if (!existsSync(file)) throw new Error("no database");
  await publish(mqtt);
  using database = new Database(file, { readonly: true });
  const { tables } = database.query("SELECT count(*) AS tables FROM sqlite_schema").get() as {
    tables: number;
  };
  if (tables === 0) throw new Error("the database is empty");
}

/** CONNECT and PUBLISH with QoS 1, spoken by hand, until CONNACK and PUBACK are there. */
async function publish(port: number): Promise<void> {
  const answer = Promise.withResolvers<Uint8Array>();
  const heard: number[] = [];
  using socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_socket, bytes) => {
        heard.push(...bytes);
        if (heard.length >= 8) answer.resolve(Uint8Array.from(heard));
      },
      close: () => answer.reject(new Error("the broker closed the connection")),
    },
  });
  const connect = [0x10, 13, 0, 4, ...Buffer.from("MQTT"), 4, 2, 0, 60, 0, 1, 0x73];
  const message = [0x32, 7, 0, 1, 0x74, 0, 1, ...Buffer.from("hi")];
  socket.write(Uint8Array.from([...connect, ...message]));
  const said = Buffer.from(await answer.promise).toString("hex");
  if (said !== "2002000040020001") throw new Error(`the broker answered ${said} to CONNECT and PUBLISH`);
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
// A wait for a state that will not come does not keep the process alive.
process.exit();
