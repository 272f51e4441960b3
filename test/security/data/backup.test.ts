import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { inOrder } from "#internal/test/support/in-order.ts";
import { CloudProcess } from "#internal/test/support/cloud/cloud-process.ts";
import { AdminApi } from "#internal/test/support/cloud/kube-api.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const base = "/api/v1/namespaces/default";

function object(name: string, n: number): [path: string, body: object] {
  const metadata = { name, namespace: "default" };
  const kind = n % 4 === 0 ? "Secret" : "ConfigMap";
  const data = { key: n % 4 === 0 ? btoa(`value-${n}`) : `value-${n}`, filler: "eHh4".repeat(250) };
  return [`${base}/${kind.toLowerCase()}s`, { apiVersion: "v1", kind, metadata, data }];
}

/** Writes objects as fast as the API takes them. */
class Load {
  readonly acknowledged: string[] = [];
  slowestMs = 0;
  #stopped = false;
  readonly #running: Promise<unknown>;

  constructor(api: AdminApi, writers: number) {
    this.#running = Promise.all(Array.from({ length: writers }, (_, writer) => this.#write(api, writer)));
  }

  async reach(count: number): Promise<void> {
    while (this.acknowledged.length < count) await Bun.sleep(5);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #write(api: AdminApi, writer: number): Promise<void> {
    for (let n = 0; !this.#stopped; n += 1) {
      const name = `load-${writer}-${n}`;
      const since = performance.now();
      const { status } = await api.call("POST", ...object(name, n));
      this.slowestMs = Math.max(this.slowestMs, performance.now() - since);
      if (status !== 201) throw new Error(`${name} was answered ${status}`);
      this.acknowledged.push(name);
    }
  }
}

async function namesIn(api: AdminApi): Promise<Set<string>> {
  const lists = await Promise.all(
    ["configmaps", "secrets"].map((plural) => api.call("GET", `${base}/${plural}`)),
  );
  const items = lists.flatMap(({ body }) => body["items"] as { metadata: { name: string } }[]);
  return new Set(items.map(({ metadata }) => metadata.name));
}

describe("a backup of a cloudcore that is written to", () => {
  const { step, run } = inOrder();
  const dir = tempDir("kubeedge-backup");
  const file = join(dir.path, "backup.tar");
  let cloud: CloudProcess;
  let before: readonly string[] = [];
  let newestBefore = 0;

  beforeAll(async () => {
    cloud = new CloudProcess(dir.path);
    await cloud.start();
    const api = new AdminApi(cloud.dataDir);
    const load = new Load(api, 4);
    await load.reach(300);
    before = [...load.acknowledged];
    const { code, out, err } = await cloud.run("backup", file);
    const during = load.acknowledged.length - before.length;
    await load.stop();
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(`wrote ${file}`);
    expect(during).toBeGreaterThan(0);
    expect(load.slowestMs).toBeLessThan(2000);
    newestBefore = Number(
      ((await api.call("GET", `${base}/configmaps`)).body["metadata"] as { resourceVersion: string })
        .resourceVersion,
    );
  }, 60_000);

  afterAll(async () => {
    await cloud?.[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  }, 60_000);

  step("is one file that nobody else may read, and leaves nothing beside it", () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir.path).filter((name) => name.startsWith("backup"))).toEqual(["backup.tar"]);
    const listed = Bun.spawnSync(["tar", "-tvf", file]).stdout.toString();
    for (const name of [
      "cloudcore.db",
      "telemetry.db",
      "router.db",
      "secrets.key",
      "ca/rootCA.key",
      "manifest.json",
    ])
      expect(listed).toContain(name);
  });

  step("uses no file that somebody else laid ready where it is written", async () => {
    const target = join(dir.path, "laid.tar");
    const laid = Array.from({ length: 3000 }, (_none, n) => `${target}.${process.pid + n}.copy`);
    for (const path of laid) writeFileSync(path, "");
    expect((await cloud.run("backup", target)).code).toBe(0);
    expect(laid.filter((path) => !existsSync(path) || statSync(path).size > 0)).toEqual([]);
  });

  step("is not restored while cloudcore runs, nor over data that is there", async () => {
    const running = await cloud.run("restore", file);
    expect([running.code, running.err]).toEqual([
      2,
      expect.stringContaining(`process ${cloud.pid} holds it`),
    ]);
    await cloud.kill();
    const full = await cloud.run("restore", file);
    expect([full.code, full.err]).toEqual([2, expect.stringContaining("--force moves them aside")]);
  });

  step("brings back every write that was acknowledged before it began when all data is lost", async () => {
    rmSync(cloud.dataDir, { recursive: true });
    const { code, err } = await cloud.run("restore", file);
    expect([code, err]).toEqual([0, ""]);
    await cloud.start();
    const api = new AdminApi(cloud.dataDir);
    const names = await namesIn(api);
    expect(before.filter((name) => !names.has(name))).toEqual([]);
    const secret = await api.call("GET", `${base}/secrets/load-0-4`);
    expect(secret.body["data"]).toMatchObject({ key: btoa("value-4") });
    const metadata = secret.body["metadata"] as { resourceVersion: string };
    expect(Number(metadata.resourceVersion)).toBeGreaterThan(newestBefore);
    const watched = await api.call(
      "GET",
      `${base}/configmaps?watch=true&timeoutSeconds=1&resourceVersion=${newestBefore}`,
    );
    expect(JSON.stringify(watched.body)).toContain('"code":410');
  });

  step("sets the data that is there aside when it is restored with --force", async () => {
    const api = new AdminApi(cloud.dataDir);
    expect((await api.call("POST", ...object("after", 1))).status).toBe(201);
    await cloud.stop();
    const { code, out } = await cloud.run("restore", file, "--force");
    const aside = /the previous data is in (\S+)/.exec(out)?.[1] ?? "";
    expect([code, readdirSync(aside).includes("cloudcore.db")]).toEqual([0, true]);
    await cloud.start();
    expect((await namesIn(new AdminApi(cloud.dataDir))).has("after")).toBe(false);
    await cloud.stop();
  });

  const saved = (): string => join(dir.path, "saved");
  const unchanged = async (damage: string): Promise<string> => {
    cpSync(cloud.dataDir, saved(), { recursive: true });
    const { code, err } = await cloud.run("restore", damage, "--force");
    expect(code).toBe(2);
    const now = readFileSync(join(cloud.dataDir, "cloudcore.db"));
    expect(now.equals(readFileSync(join(saved(), "cloudcore.db")))).toBe(true);
    expect(readdirSync(cloud.dataDir).toSorted()).toEqual(readdirSync(saved()).toSorted());
    rmSync(saved(), { recursive: true });
    return err;
  };

  const damages: readonly (readonly [string, (path: string) => void, string])[] = [
    ["cut off", (path: string) => truncateSync(path, statSync(path).size - 700_000), "is truncated"],
    ["empty", (path: string) => truncateSync(path, 0), "is truncated"],
    [
      "something else",
      (path: string) => writeFileSync(path, "x".repeat(5000)),
      "not an archive of `cloudcore backup`",
    ],
    ["changed in one byte", flip, "is damaged: its checksum does not match"],
  ];
  for (const [name, damage, said] of damages)
    step(`changes nothing when it is ${name}`, async () => {
      const copy = join(dir.path, "damaged.tar");
      cpSync(file, copy);
      damage(copy);
      const err = await unchanged(copy);
      expect(err).toContain(said);
      expect(err).toContain("nothing was changed");
    });

  step("is whole or not there when cloudcore backup is killed", async () => {
    const target = join(dir.path, "killed.tar");
    for (const ms of [60, 120, 180, 220, 260, 300]) {
      const child = cloud.spawn("backup", target);
      await Bun.sleep(ms);
      child.kill("SIGKILL");
      await child.exited;
      if (!existsSync(target)) continue;
      expect(Bun.spawnSync(["tar", "-tf", target]).stdout.toString()).toContain("manifest.json");
      rmSync(target);
    }
    expect((await cloud.run("backup", target, "--without-telemetry")).out).toContain(
      "not included: telemetry.db",
    );
    expect(readdirSync(dir.path).filter((name) => name.startsWith("killed"))).toEqual(["killed.tar"]);
  });

  step("leaves the old state or the new one when cloudcore restore is killed", async () => {
    for (const ms of [100, 160, 200, 240, 280, 320, 400]) {
      const child = cloud.spawn("restore", file, "--force");
      await Bun.sleep(ms);
      child.kill("SIGKILL");
      await child.exited;
      await cloud.start();
      const names = await namesIn(new AdminApi(cloud.dataDir));
      expect(before.filter((name) => !names.has(name))).toEqual([]);
      await cloud.stop();
      expect(readdirSync(cloud.dataDir).filter((name) => name.startsWith("restore"))).toEqual([]);
    }
  });

  step("is refused when the database is damaged, naming it", async () => {
    const database = join(cloud.dataDir, "cloudcore.db");
    const bytes = readFileSync(database);
    writeFileSync(
      database,
      Buffer.concat([bytes.subarray(0, 8192), Buffer.alloc(40_960, 7), bytes.subarray(49_152)]),
    );
    const { code, err } = await cloud.run("backup", join(dir.path, "bad.tar"));
    expect([code, existsSync(join(dir.path, "bad.tar"))]).toEqual([2, false]);
    expect(err).toContain(database);
    expect(err).toContain("it is damaged");
  });

  test("keeps every promise, step by step", run, 240_000);
});

/** One bit in the middle of the database that is in the archive. */
function flip(path: string): void {
  const bytes = readFileSync(path);
  const at = 512 + 200_000;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

test("backup names what it cannot hold when the keys are kept elsewhere, and restore asks for them", async () => {
  using dir = tempDir("kubeedge-backup");
  const keys = join(dir.path, "keys");
  await using cloud = new CloudProcess(dir.path, `, encryption-key-file: ${keys}`);
  await cloud.start();
  await new AdminApi(cloud.dataDir).call("POST", ...object("one", 4));
  const file = join(dir.path, "backup.tar");
  expect((await cloud.run("backup", file)).out).toContain(`not included: ${keys}`);
  await cloud.stop();
  rmSync(cloud.dataDir, { recursive: true });
  const saved = readFileSync(keys);
  rmSync(keys);
  const { code, err } = await cloud.run("restore", file);
  expect([code, err]).toEqual([2, expect.stringContaining(keys)]);
  writeFileSync(keys, saved, { mode: 0o600 });
  expect((await cloud.run("restore", file)).code).toBe(0);
  using database = new Database(join(cloud.dataDir, "cloudcore.db"));
  expect(database.query("SELECT value FROM revisions WHERE key = 'default/one'").get()).toMatchObject({
    value: expect.stringContaining("sealed:v1:") as string,
  });
}, 30_000);
