import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { inOrder } from "#internal/test/support/in-order.ts";
import { eventually, run, startService } from "#internal/scripts/service.ts";
import { CloudProcess } from "#internal/test/support/cloud/cloud-process.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const root = resolve(import.meta.dir, "../../..");
/** What others than the owner may do something with, by path below `folder`. */
function exposed(folder: string): string[] {
  // Sockets are in a folder that is checked itself.
  const all = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((one) => !one.isSocket());
  const paths = [folder, ...all.map((entry) => join(entry.parentPath, entry.name))];
  return paths
    .filter((path) => (statSync(path).mode & 0o077) !== 0)
    .map((path) => relative(folder, path))
    .toSorted();
}

/** As systemd makes it for `StateDirectory=`. */
function stateDirectory(path: string): string {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o755);
  return path;
}

describe("cloudcore in a data directory that systemd made", () => {
  const { step, run } = inOrder();
  const dir = tempDir("kubeedge-private");
  let cloud: CloudProcess;

  beforeAll(async () => {
    cloud = new CloudProcess(dir.path);
    stateDirectory(cloud.dataDir);
    await cloud.start();
  }, 60_000);

  afterAll(async () => {
    await cloud?.[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  }, 60_000);

  step("keeps databases, certificates, keys and tokens to itself", () => {
    expect(readdirSync(cloud.dataDir)).toContain("cloudcore.db");
    expect(exposed(cloud.dataDir)).toEqual([]);
  });

  step("reports in check which file was exposed meanwhile, and restricts it at its next start", async () => {
    chmodSync(join(cloud.dataDir, "cloudcore.db"), 0o644);
    chmodSync(join(cloud.dataDir, "ca/rootCA.key"), 0o640);
    const { out, code } = await cloud.run("check");
    expect(out).toMatch(/fail {2}private files .*cloudcore\.db .*0644.*chmod 0600/);
    expect(out).toMatch(/fail {2}private files .*rootCA\.key .*0640.*chmod 0600/);
    expect(code).toBe(1);
    await cloud.stop();
    await cloud.start();
    expect(exposed(cloud.dataDir)).toEqual([]);
    expect(cloud.log()).toContain(`"path":"${join(cloud.dataDir, "ca/rootCA.key")}","why":"mode 0640"`);
    expect((await cloud.run("check")).out).not.toContain("private files");
  });

  step("does not restrict a directory that holds other files, and logs it", async () => {
    await cloud.stop();
    chmodSync(cloud.dataDir, 0o755);
    writeFileSync(join(cloud.dataDir, "holiday.jpg"), "");
    await cloud.start();
    expect(statSync(cloud.dataDir).mode & 0o777).toBe(0o755);
    expect(cloud.log()).toContain("and contains other files (holiday.jpg)");
  });

  test("keeps every promise, step by step", run, 120_000);
});

test("edgecore keeps its database to itself when its data directory is a link that systemd made", async () => {
  using dir = tempDir("kubeedge-private");
  const target = stateDirectory(join(dir.path, "private/kubeedge"));
  const dataDir = join(dir.path, "kubeedge");
  symlinkSync(target, dataDir);
  const config = join(dir.path, "edge.yaml");
  writeFileSync(
    config,
    `data-dir: ${dataDir}
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:1", https: "https://127.0.0.1:1" }
edged: { hostname-override: private-1, docker-address: "unix://${dir.path}/none.sock", read-only-port: 0 }
devicetwin: { query-port: 0, dmi-socket: "" }
meta-server: { port: 0 }
`,
  );
  const words = [process.execPath, join(root, "edge/main.ts"), "--config", config];
  const log = join(dir.path, "log");
  await using _edge = startService("edgecore", words, log);
  await eventually(15_000, async () => {
    if (!(await Bun.file(log).text()).includes('"running"')) throw new Error("edgecore does not run");
  });
  expect(readdirSync(target)).toContain("edgecore.db-wal");
  expect(exposed(target)).toEqual([]);
}, 30_000);

test("shipped units make private data directories", async () => {
  const units = await run([
    "cat",
    ...["cloudcore", "edgecore"].map((name) => join(root, `conf/systemd/${name}.service`)),
  ]);
  expect(units.match(/^StateDirectoryMode=0700$/gm)).toHaveLength(2);
});
