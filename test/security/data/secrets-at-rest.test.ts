import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TokenSigner } from "#cloud/kube-api/auth";
import { RevisionStore } from "#cloud/kube-api/store";
import { inOrder } from "#internal/test/support/in-order.ts";
import { CloudProcess } from "#internal/test/support/cloud/cloud-process.ts";
import { AdminApi } from "#internal/test/support/cloud/kube-api.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const password = "correct-horse-battery-staple";
const encoded = btoa(password);
const signingKey = "BEGIN PRIVATE KEY";

/** Files of the database that hold a text: what a thief of the disk finds with `strings`. */
function leaks(dataDir: string, ...texts: readonly string[]): string[] {
  const names = readdirSync(dataDir).filter((name) => name.startsWith("cloudcore.db"));
  return names.filter((name) => {
    const bytes = readFileSync(join(dataDir, name));
    return texts.some((text) => bytes.includes(text));
  });
}

function secret(name: string, value = encoded): object {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "default" },
    data: { password: value },
  };
}

const secrets = "/api/v1/namespaces/default/secrets";

async function passwordOf(cloud: CloudProcess, name: string): Promise<unknown> {
  const { body } = await new AdminApi(cloud.dataDir).call("GET", `${secrets}/${name}`);
  return (body["data"] as Record<string, unknown> | undefined)?.["password"];
}

/** As a cloudcore before this one wrote it, with a Secret that was changed and one that was deleted. */
async function oldDatabase(dataDir: string): Promise<void> {
  const store = new RevisionStore({
    path: join(dataDir, "cloudcore.db"),
    historyRevisions: 10_000,
    onError: (error) => {
      throw error;
    },
  });
  const put = (name: string, value: string, remove = false) =>
    store.write({
      resource: "/secrets",
      key: `default/${name}`,
      object: secret(name, value) as { metadata: object },
      remove,
    });
  for (let n = 0; n < 50; n += 1) await put("kept", btoa(`${password}-${n}`));
  await put("kept", encoded);
  await put("gone", encoded);
  await put("gone", encoded, true);
  store.saveSetting("service-account-key", TokenSigner.newKey());
  // An SQLite that does not clean up, as with kill -9.
  const files = readdirSync(dataDir).filter((name) => name.startsWith("cloudcore.db"));
  const copies = files.map((name) => [name, readFileSync(join(dataDir, name))] as const);
  await store[Symbol.asyncDispose]();
  for (const [name, bytes] of copies) writeFileSync(join(dataDir, name), bytes);
}

describe("Secrets in cloudcore.db", () => {
  const { step, run } = inOrder();
  const dir = tempDir("kubeedge-rest");
  let cloud: CloudProcess;
  const keyFile = (): string => join(cloud.dataDir, "secrets.key");

  beforeAll(async () => {
    cloud = new CloudProcess(dir.path);
    await cloud.start();
    expect((await new AdminApi(cloud.dataDir).call("POST", secrets, secret("new"))).status).toBe(201);
    await new AdminApi(cloud.dataDir).call("POST", secrets, secret("deleted"));
    await new AdminApi(cloud.dataDir).call("DELETE", `${secrets}/deleted`);
  }, 60_000);

  afterAll(async () => {
    await cloud?.[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  }, 60_000);

  step("cannot be read from the files, nor can the key that signs tokens", () => {
    expect(readdirSync(cloud.dataDir)).toContain("cloudcore.db-wal");
    expect(leaks(cloud.dataDir, password, encoded, signingKey)).toEqual([]);
  });

  step("can be read through the API after a kill -9 and a start", async () => {
    await cloud.kill();
    await cloud.start();
    expect(await passwordOf(cloud, "new")).toBe(encoded);
    expect(leaks(cloud.dataDir, password, encoded, signingKey)).toEqual([]);
  });

  step(
    "are encrypted with a new key after rotate-key and a start, and the old one can be forgotten",
    async () => {
      const before = readFileSync(keyFile(), "utf8");
      expect((await cloud.run("rotate-key")).code).toBe(0);
      const early = await cloud.run("rotate-key", "--prune");
      expect([early.code, early.err]).toEqual([2, expect.stringContaining("restart cloudcore first")]);
      await cloud.stop();
      await cloud.start();
      const pruned = await cloud.run("rotate-key", "--prune");
      expect([pruned.code, pruned.out]).toEqual([0, expect.stringContaining("removed")]);
      const [, old = ""] = /^(\w+) /m.exec(before) ?? [];
      expect(readFileSync(keyFile(), "utf8")).not.toContain(old);
      expect(leaks(cloud.dataDir, `sealed:v1:${old}`)).toEqual([]);
      await cloud.stop();
      await cloud.start();
      expect(await passwordOf(cloud, "new")).toBe(encoded);
    },
  );

  step("stop the start when their key is lost, and nothing is made in its place", async () => {
    await cloud.stop();
    renameSync(keyFile(), join(dir.path, "saved"));
    const { code, err } = await cloud.run();
    expect([code, existsSync(keyFile())]).toEqual([2, false]);
    expect(err).toContain(`key file \\"${keyFile()}\\" is missing`);
    writeFileSync(keyFile(), "# empty\n");
    expect((await cloud.run()).code).toBe(2);
    renameSync(join(dir.path, "saved"), keyFile());
    await cloud.start();
    expect(await passwordOf(cloud, "new")).toBe(encoded);
  });

  step("stop the start when one was put in the place of another", async () => {
    await new AdminApi(cloud.dataDir).call("POST", secrets, secret("other", btoa("another")));
    await cloud.stop();
    {
      using database = new Database(join(cloud.dataDir, "cloudcore.db"));
      const stolen = "SELECT value FROM revisions WHERE key = 'default/new' ORDER BY id DESC LIMIT 1";
      database.run(`UPDATE revisions SET value = (${stolen}) WHERE key = 'default/other'`);
    }
    const { code, err } = await cloud.run();
    expect([code, err]).toEqual([2, expect.stringContaining("secrets default/other")]);
  });

  test("keeps every promise, step by step", run, 120_000);
});

test("Secrets of an older cloudcore are encrypted at the first start, also what was deleted or replaced", async () => {
  using dir = tempDir("kubeedge-rest");
  await using cloud = new CloudProcess(dir.path);
  await cloud.start();
  await cloud.stop();
  for (const name of ["cloudcore.db", "secrets.key"]) rmSync(join(cloud.dataDir, name));
  await oldDatabase(cloud.dataDir);
  expect(leaks(cloud.dataDir, encoded)).toContain("cloudcore.db-wal");
  expect(leaks(cloud.dataDir, signingKey)).not.toEqual([]);
  await cloud.start();
  expect(leaks(cloud.dataDir, password, encoded, btoa(`${password}-7`), signingKey)).toEqual([]);
  expect(await passwordOf(cloud, "kept")).toBe(encoded);
}, 30_000);
