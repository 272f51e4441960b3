import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CloudProcess } from "#internal/test/support/cloud/cloud-process.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";

const pageBytes = 4096;

/** Asks the API who the token of the kubeconfig is. */
async function works(cloud: CloudProcess): Promise<boolean> {
  const { clusters, users } = Bun.YAML.parse(readFileSync(join(cloud.dataDir, "kubeconfig"), "utf8")) as {
    clusters: { cluster: { server: string } }[];
    users: { user: { token: string } }[];
  };
  const token = users[0]?.user.token ?? "";
  const response = await fetch(`${clusters[0]?.cluster.server}/api/v1/secrets`, {
    headers: { authorization: `Bearer ${token}` },
    tls: { rejectUnauthorized: false },
  });
  return response.ok && token.length >= 32;
}

/** Files that are to have content: a log of SQLite may have none, and what is only locked never has. */
function emptyFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/(-wal|\.lock\.db)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path).size === 0);
}

const dir = tempDir("kubeedge-whole");
const small = join(dir.path, "full/cloud");
mkdirSync(small, { recursive: true });
const hasDisk = hasSmallDisks();
const disk = hasDisk ? smallDisk(small, "4m") : undefined;

afterAll(() => {
  disk?.[Symbol.dispose]();
  dir[Symbol.dispose]();
});

test.skipIf(!hasDisk)(
  "cloudcore starts once there is room when the disk was full at its first starts",
  async () => {
    await using cloud = new CloudProcess(join(dir.path, "full"));
    const filler = join(small, "edgecore.filler");
    const pages = (4 * 1024 * 1024) / pageBytes;
    writeFileSync(filler, Buffer.alloc((pages - 3) * pageBytes));
    const failures: string[] = [];
    // Each start comes a little further than the one before.
    for (let free = 1; free <= 30 && !existsSync(join(small, "kubeconfig")); free += 2) {
      truncateSync(filler, statSync(filler).size - 2 * pageBytes);
      const { code, err } = await cloud.run();
      expect(code).not.toBe(0);
      failures.push(err);
    }
    expect(failures.length).toBeGreaterThan(3);
    rmSync(filler);
    await cloud.start();
    expect(await works(cloud)).toBe(true);
    expect(emptyFiles(small)).toEqual([]);
  },
  60_000,
);

describe("a file of cloudcore that a crash of an older version left empty", () => {
  test("is made again when it is the administrator's token", async () => {
    using at = tempDir("kubeedge-whole");
    await using cloud = new CloudProcess(at.path);
    mkdirSync(join(cloud.dataDir, "embedded"), { recursive: true });
    writeFileSync(join(cloud.dataDir, "embedded/admin-token"), "");
    await cloud.start();
    expect(await works(cloud)).toBe(true);
    expect(cloud.log()).toContain("embedded/admin-token");
  }, 30_000);

  test.each(["ca/rootCA.crt", "ca/rootCA.key", "embedded/ca/rootCA.crt"])(
    "stops the start when it is %s, and is neither replaced nor forgotten",
    async (name) => {
      using at = tempDir("kubeedge-whole");
      await using cloud = new CloudProcess(at.path);
      await cloud.start();
      await cloud.stop();
      const file = join(cloud.dataDir, name);
      for (const damage of [() => truncateSync(file, 0), () => truncateSync(file, 100), () => rmSync(file)]) {
        const whole = readFileSync(file);
        damage();
        const { code, err } = await cloud.run();
        expect(code).toBe(2);
        expect(err).toContain(file);
        expect(err).toContain("cloudcore restore");
        writeFileSync(file, whole);
      }
      await cloud.start();
      expect(await works(cloud)).toBe(true);
    },
    40_000,
  );

  test("stops the start when the whole CA is gone and the database is there", async () => {
    using at = tempDir("kubeedge-whole");
    await using cloud = new CloudProcess(at.path);
    await cloud.start();
    await cloud.stop();
    rmSync(join(cloud.dataDir, "ca"), { recursive: true });
    const { code, err } = await cloud.run();
    expect([code, existsSync(join(cloud.dataDir, "ca"))]).toEqual([2, false]);
    expect(err).toContain("cloudcore new-ca");
    expect((await cloud.run("new-ca")).code).toBe(0);
    expect((await cloud.run("new-ca")).err).toContain("exists already");
    await cloud.start();
  }, 40_000);
});

test("cloudcore logs that its database is lost when it has run before", async () => {
  using at = tempDir("kubeedge-whole");
  await using cloud = new CloudProcess(at.path);
  await cloud.start();
  await cloud.stop();
  expect(cloud.log()).not.toContain("starting an empty cluster");
  truncateSync(join(cloud.dataDir, "cloudcore.db"), 0);
  await cloud.start();
  expect(cloud.log()).toContain("starting an empty cluster");
}, 20_000);
