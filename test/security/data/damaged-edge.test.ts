import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { openStore } from "#edge/store";
import { eventually, startService } from "#internal/scripts/service.ts";
import { finish } from "#internal/test/support/cloud/cloud-process.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { needs } from "#internal/test/support/needs.ts";

const root = resolve(import.meta.dir, "../../..");
const objects = 400;

/** A node with objects, a device with twins and history, and messages that wait. */
function fill(path: string): void {
  using store = openStore(path);
  store.transaction(() => {
    for (let n = 0; n < objects; n += 1) {
      const metadata = { name: `c${n}`, namespace: "default", uid: `u${n}`, resourceVersion: "1" };
      const value = JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata,
        data: { k: "v".repeat(500) },
      });
      store.metas.put({ key: `default/configmap/c${n}`, type: "configmap", value });
    }
    store.devices.put({ id: "boiler", name: "boiler", description: "", state: "online", lastOnline: "" });
    for (let n = 0; n < 3000; n += 1)
      store.telemetry.add("boiler", `heat-${n % 20}`, { at: n, value: `value-${n}` }, 10_000);
    store.cloud.write({ name: "cloud-1", other: null, heldSince: null });
  });
}

interface Edge extends AsyncDisposable {
  readonly log: () => string;
}

async function startEdge(folder: string, environment: readonly string[] = []): Promise<Edge> {
  const log = join(folder, `log-${crypto.randomUUID()}`);
  const all = ["env", ...environment, ...words, "--config", configOf(folder)];
  const service = startService("edgecore", all, log);
  await Promise.race([
    service.failed,
    eventually(15_000, async () => {
      if (!readFileSync(log, "utf8").includes('"msg":"running"')) throw new Error("edgecore does not run");
    }),
  ]);
  return {
    log: () => readFileSync(log, "utf8"),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

const words = [process.execPath, join(root, "edge/main.ts")];

function configOf(folder: string): string {
  const file = join(folder, "edge.yaml");
  writeFileSync(
    file,
    `data-dir: ${join(folder, "data")}
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:1", https: "https://127.0.0.1:1" }
edged: { hostname-override: damaged-1, docker-address: "unix://${folder}/none.sock", read-only-port: 0 }
devicetwin: { query-port: 0, dmi-socket: "" }
meta-server: { port: 0 }
`,
  );
  return file;
}

function rows<T>(path: string, sql: string): T[] {
  using database = new Database(path, { readwrite: true });
  return database.query<T, []>(sql).all();
}

const count = (path: string, table: string): number =>
  rows<{ n: number }>(path, `SELECT COUNT(*) AS n FROM ${table}`)[0]?.n ?? -1;

/** Bytes of one page of a table, as a bad block of an SD card leaves them. */
function ruinPage(path: string, table: string): void {
  const [found] = rows<{ pageno: number }>(
    path,
    `SELECT pageno FROM dbstat WHERE name = '${table}' AND pagetype = 'leaf' ORDER BY pageno LIMIT 1 OFFSET 2`,
  );
  const bytes = readFileSync(path);
  const at = ((found?.pageno ?? 0) - 1) * 4096;
  writeFileSync(path, bytes.fill(0xff, at, at + 4096));
}

const damages: readonly (readonly [string, (path: string) => void, number])[] = [
  ["has a bad page among its objects", (path) => ruinPage(path, "meta"), objects * 0.9],
  ["has a bad page in the history", (path) => ruinPage(path, "device_history_block"), objects],
  [
    "was cut off",
    (path) => truncateSync(path, Math.floor((statSync(path).size / 4096) * 0.8) * 4096),
    objects / 2,
  ],
  ["has a garbled start", (path) => writeFileSync(path, readFileSync(path).fill("x", 0, 100)), objects],
];

test.each(damages)(
  "edgecore starts with what can be read, and sets the file aside, when its database %s",
  async (_name, damage, kept) => {
    using dir = tempDir("kubeedge-damaged");
    const path = join(dir.path, "data/edgecore.db");
    mkdirSync(join(dir.path, "data"));
    fill(path);
    const [before] = rows<{ name: string }>(path, "SELECT name FROM identity");
    damage(path);
    {
      await using edge = await startEdge(dir.path);
      expect(edge.log()).toContain("database was damaged, moved it aside");
      expect(count(path, "meta")).toBeGreaterThanOrEqual(kept);
    }
    // Under another name the cloud sends everything again.
    expect(rows<{ name: string }>(path, "SELECT name FROM identity")[0]?.name).not.toBe(before?.name);
    const aside = readdirSync(join(dir.path, "data")).filter((name) =>
      name.startsWith("edgecore.db.damaged-"),
    );
    expect(aside).toHaveLength(1);
    const check = await finish(
      Bun.spawn([...words, "check", "--config", configOf(dir.path)], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      }),
    );
    expect(check.out).toMatch(/warn {2}database .*was damaged and moved aside/);
    await using again = await startEdge(dir.path);
    expect(again.log()).not.toContain("was damaged");
  },
  40_000,
);

test("edgecore starts when single rows of its database cannot be read", async () => {
  using dir = tempDir("kubeedge-damaged");
  const path = join(dir.path, "data/edgecore.db");
  mkdirSync(join(dir.path, "data"));
  fill(path);
  {
    using database = new Database(path);
    const garbled = '\'{"metadata":{"name":"x"]\'';
    for (const type of ["pod", "device", "devicemodel", "podpatch", "configmap", "external-mqtt"])
      database.run(`INSERT OR REPLACE INTO meta VALUES ('default/${type}/garbled', '${type}', ${garbled})`);
    database.run(`UPDATE meta SET value = ${garbled} WHERE key LIKE 'default/configmap/c1%'`);
    database.run(
      `INSERT INTO device_twin (deviceid, name, expected, expected_meta, actual_version) VALUES ('boiler', 'heat', ${garbled}, ${garbled}, ${garbled})`,
    );
    database.run(`INSERT INTO outbox (lane, key, message, bytes) VALUES ('podstatus', 'x', ${garbled}, 24)`);
  }
  await using edge = await startEdge(dir.path);
  expect(edge.log()).toContain("stored pod cannot be read");
  // With the note that commands of older versions were cleared.
  expect(count(path, "meta")).toBe(objects + 6 + 1);
}, 30_000);

const compiler = Bun.which("gcc");

test.skipIf(!needs({ gcc: compiler !== null })).each([
  ["the first block", 0, 0],
  ["one block in the middle", 100_000, objects / 2],
] as const)(
  "edgecore starts when its disk does not give %s of its database back",
  async (_name, byte, least) => {
    using dir = tempDir("kubeedge-damaged");
    const path = join(dir.path, "data/edgecore.db");
    mkdirSync(join(dir.path, "data"));
    fill(path);
    const library = join(dir.path, "bad-block.so");
    const source = join(import.meta.dir, "bad-block.c");
    const made = Bun.spawnSync([compiler ?? "", "-shared", "-fPIC", "-o", library, source, "-ldl"]);
    expect(made.stderr.toString()).toBe("");
    const bad = [`BAD_INODE=${statSync(path).ino}`, `BAD_BYTE=${byte}`, `LD_PRELOAD=${library}`];
    await using edge = await startEdge(dir.path, bad);
    expect(edge.log()).toContain("moved it aside");
    expect(count(path, "meta")).toBeGreaterThanOrEqual(least);
    expect(asidesIn(dir.path)).toHaveLength(1);
  },
  30_000,
);

function asidesIn(folder: string): string[] {
  const names = readdirSync(join(folder, "data"));
  return names.filter((name) => name.includes(".damaged-") && !/-(wal|shm)$/.test(name));
}
