import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "#internal/test/support/pair.ts";
import { CloudProcess } from "#internal/test/support/cloud/cloud-process.ts";
import { AdminApi } from "#internal/test/support/cloud/kube-api.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";

const maps = "/api/v1/namespaces/default/configmaps";
const map = (name: string, value: string): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default" },
  data: { value },
});

/** A cloudcore that has run, and stopped. */
async function used(folder: string): Promise<CloudProcess> {
  const cloud = new CloudProcess(folder);
  await cloud.start();
  const api = new AdminApi(cloud.dataDir);
  await api.call("POST", maps, map("settings", "first"));
  await api.call("PUT", `${maps}/settings`, map("settings", "second"));
  await cloud.stop();
  return cloud;
}

function change(cloud: CloudProcess, sql: string): void {
  using database = new Database(join(cloud.dataDir, "cloudcore.db"));
  database.run(sql);
}

/** A byte that flipped in the JSON of a row. */
const garble = (where: string): string =>
  `UPDATE revisions SET value = replace(value, '"metadata":', '"metadata"z') WHERE ${where}`;

async function valueOf(cloud: CloudProcess): Promise<unknown> {
  const { body } = await new AdminApi(cloud.dataDir).call("GET", `${maps}/settings`);
  return (body["data"] as { value?: string } | undefined)?.value;
}

describe("a database of cloudcore that is damaged", () => {
  test("stops the start by name of the object, and repair puts its last readable state back", async () => {
    using dir = tempDir("kubeedge-damaged");
    await using cloud = await used(dir.path);
    change(cloud, garble("key = 'default/settings' AND value LIKE '%second%'"));
    const { code, err } = await cloud.run();
    expect(code).toBe(2);
    expect(err).toContain("configmaps default/settings (row ");
    expect(err).toContain("cloudcore restore FILE");
    expect(err).not.toContain("JSON Parse error");
    expect((await cloud.run("check")).out).toMatch(/fail {2}database .*configmaps default\/settings/);
    const repaired = await cloud.run("repair");
    expect(repaired.out).toContain("configmaps default/settings: restored from revision");
    await cloud.start();
    expect(await valueOf(cloud)).toBe("first");
    expect((await cloud.run("check")).out).toMatch(/ok {4}database/);
  }, 30_000);

  test("is used without rows that are records only, which are set aside, also when one is the newest", async () => {
    using dir = tempDir("kubeedge-damaged");
    await using cloud = await used(dir.path);
    change(
      cloud,
      `INSERT INTO revisions (id, resource, key, previous, deleted, value)
       SELECT MAX(id) + 1, '/events', 'default/e1', NULL, 0, '{"metadata":' FROM revisions`,
    );
    change(cloud, garble("key = 'default/settings' AND value LIKE '%first%'"));
    const newest = newestOf(cloud);
    await cloud.start();
    expect(await valueOf(cloud)).toBe("second");
    expect(cloud.log()).toContain('"object":"events default/e1"');
    await cloud.stop();
    await cloud.start();
    const { body } = await new AdminApi(cloud.dataDir).call("POST", maps, map("later", "x"));
    expect(Number((body["metadata"] as { resourceVersion: string }).resourceVersion)).toBeGreaterThan(newest);
  }, 30_000);

  const files: readonly (readonly [string, (path: string) => void])[] = [
    ["has a garbled start", (path) => writeFileSync(path, readFileSync(path).fill("x", 0, 100))],
    ["was cut off", (path) => truncateSync(path, 4096 * 4)],
    ["has a bad page", (path) => writeFileSync(path, readFileSync(path).fill(0xff, 4096 * 2, 4096 * 6))],
  ];
  test.each(files)(
    "stops the start with file and remedy, and is left as it is, when it %s",
    async (_name, damage) => {
      using dir = tempDir("kubeedge-damaged");
      await using cloud = await used(dir.path);
      const path = join(cloud.dataDir, "cloudcore.db");
      damage(path);
      const before = readFileSync(path);
      const { code, err } = await cloud.run();
      expect([code, readFileSync(path).equals(before)]).toEqual([2, true]);
      expect(err).toContain(path);
      expect(err).toContain("cloudcore restore FILE");
      expect((await cloud.run("check")).out).toMatch(/fail {2}database /);
    },
    30_000,
  );
});

function newestOf(cloud: CloudProcess): number {
  using database = new Database(join(cloud.dataDir, "cloudcore.db"));
  return database.query<{ id: number }, []>("SELECT MAX(id) AS id FROM revisions").get()?.id ?? 0;
}

test.each([
  ["has a garbled start", (path: string) => writeFileSync(path, readFileSync(path).fill("x", 0, 100))],
  ["is something else", (path: string) => writeFileSync(path, "nonsense ".repeat(1000))],
  ["was cut off", (path: string) => truncateSync(path, 5000)],
])(
  "cloudcore starts with an empty database of uploads, and sets the old one aside, when that %s",
  async (_name, damage) => {
    using dir = tempDir("kubeedge-damaged");
    await using cloud = await used(dir.path);
    damage(join(cloud.dataDir, "telemetry.db"));
    await cloud.start();
    expect(cloud.log()).toContain("database was damaged, moved it aside and created an empty one");
    expect(
      readdirSync(cloud.dataDir).filter((name) => name.startsWith("telemetry.db.damaged-")),
    ).toHaveLength(1);
    expect((await cloud.run("check")).out).toMatch(
      /warn {2}database .*telemetry\.db\.damaged-.* was damaged and moved aside/,
    );
  },
  30_000,
);

const full = tempDir("kubeedge-full");
mkdirSync(join(full.path, "cloud"));
const hasDisk = hasSmallDisks();
const disk = hasDisk ? smallDisk(join(full.path, "cloud"), "8m") : undefined;

afterAll(() => {
  disk?.[Symbol.dispose]();
  full[Symbol.dispose]();
});

test.skipIf(!hasDisk)(
  "cloudcore is alive and not ready while its disk is full, and ready again without a restart",
  async () => {
    await using cloud = new CloudProcess(full.path);
    await cloud.start();
    const api = new AdminApi(cloud.dataDir);
    expect(await api.call("GET", "/readyz")).toEqual({ status: 200, body: { text: "ok" } });
    const filler = join(cloud.dataDir, "edgecore.filler");
    fill(filler);
    await until(5000, async () => {
      const { status, body } = await api.call("GET", "/readyz");
      return (status === 500 && String(body["text"]).includes("is full")) || `readyz answers ${status}`;
    });
    expect(await api.call("GET", "/livez")).toEqual({ status: 200, body: { text: "ok" } });
    expect((await api.call("GET", maps)).status).toBe(200);
    rmSync(filler);
    await until(
      5000,
      async () => (await api.call("GET", "/readyz")).status === 200 || "it is not ready again",
    );
    expect((await api.call("POST", maps, map("after", "x"))).status).toBe(201);
    expect(statSync(join(cloud.dataDir, "cloudcore.db")).size).toBeGreaterThan(0);
  },
  30_000,
);

/** Takes all that is left. */
function fill(path: string): void {
  for (let kib = 8192; kib >= 4; kib = Math.floor(kib / 2)) {
    const found = Bun.spawnSync(["sh", "-c", `head -c ${kib}k /dev/zero >> ${path}`]);
    if (found.success) kib *= 2;
  }
}
