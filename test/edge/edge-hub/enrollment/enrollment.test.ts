import { expect, test } from "bun:test";
import { existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import type { EdgeHubStartConfig } from "#edge/edge-hub";
import { systemClock } from "#shared/clock";
import { identifyCertificate, readCertificate } from "#shared/pki";
import { NodeIdentity } from "#internal/edge/edge-hub/enrollment/node-identity.ts";
import { configOf, eventually, isKeepalive, startEdge } from "#internal/test/edge/edge-hub/hub-harness.ts";
import { ScriptedCloud } from "#internal/test/edge/edge-hub/scripted-cloud.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("edgehub gets a certificate with the token and keeps it for its owner alone", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  await using _edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  await cloud.until(() => cloud.received.some(isKeepalive));
  expect(cloud.enrollments.map(({ node }) => node)).toEqual(["edge-1"]);
  expect(readCertificate(readFileSync(join(dir.path, "certs/edge.crt"))).commonName).toBe(
    "system:node:edge-1",
  );
  expect(statSync(join(dir.path, "certs/edge.key")).mode & 0o777).toBe(0o600);
  expect(cloud.handshakes[0]).toMatchObject({
    node_id: "edge-1",
    project_id: "project",
    connectionuse: "msg",
  });
});

test.each([
  ["the token has expired", (cloud: ScriptedCloud) => cloud.token(1), "Invalid authorization token: expired"],
  [
    "the token pins another CA",
    (cloud: ScriptedCloud) => `${"0".repeat(64)}.${cloud.token().split(".").slice(1).join(".")}`,
    "has another CA",
  ],
  ["the token is not one", () => "nonsense", "the token is not one"],
  ["there is no token", () => undefined, "neither a certificate nor a token"],
])("edgehub logs it and stays offline when %s", async (_name, token, text) => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, token(cloud)));
  await eventually(`a log line with "${text}"`, () => edge.log.lines.some((line) => line.includes(text)));
  expect(existsSync(join(dir.path, "certs/edge.crt"))).toBe(false);
  const question = { type: "secret", namespace: "default", name: "s", timeoutMs: 5000 };
  await expect(edge.ask(question)).rejects.toMatchObject({ code: "no-link" });
});

test("edgehub connects without a restart when its certificate is put back while it runs", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  const certs = join(dir.path, "certs");
  {
    await using _joining = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    await cloud.until(() => cloud.received.some(isKeepalive));
  }
  renameSync(certs, `${certs}-away`);
  cloud.received.length = 0;
  await using edge = await startEdge(configOf(dir.path, cloud.port, undefined));
  const problems = () => edge.log.lines.filter((line) => line.includes("neither a certificate nor"));
  await eventually("the missing certificate in the log", () => problems().length > 0);
  renameSync(`${certs}-away`, certs);
  await cloud.until(() => cloud.received.some(isKeepalive));
  expect(problems()).toHaveLength(1);
}, 20_000);

test("edgehub enrolls again when the token is of another cloud, and when the node has another name", async () => {
  await using first = await ScriptedCloud.start();
  await using second = await ScriptedCloud.start();
  using dir = tempDir();
  const parts = { clock: systemClock, log: silentLog(), onRenewed: () => undefined };
  const enrollWith = (config: EdgeHubStartConfig) => new NodeIdentity(config, parts).credentials();
  await enrollWith(configOf(dir.path, first.port, first.token()));
  await enrollWith(configOf(dir.path, second.port, second.token()));
  const moved = { ...configOf(dir.path, second.port, second.token()), nodeName: "edge-2" };
  await enrollWith(moved);
  await enrollWith(moved);
  expect(second.enrollments.map(({ node }) => node)).toEqual(["edge-1", "edge-2"]);
});

test("edgehub requests again with the same key when the answer was lost, also after a restart, and with another key for another token", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  const parts = { clock: systemClock, log: silentLog(), onRenewed: () => undefined };
  const config = configOf(dir.path, cloud.port, cloud.token());
  cloud.loseAnswers = 2;
  const identity = new NodeIdentity(config, parts);
  await expect(identity.credentials()).rejects.toThrow("Cannot reach cloudcore");
  await expect(identity.credentials()).rejects.toThrow("Cannot reach cloudcore");
  const got = await new NodeIdentity(config, parts).credentials();
  expect(got && identifyCertificate(got.cert).keyHash).toBe(cloud.keys[2]);
  const moved = { ...configOf(dir.path, cloud.port, cloud.token(Date.now() + 90_000)), nodeName: "edge-2" };
  await new NodeIdentity(moved, parts).credentials();
  const [first = ""] = cloud.keys;
  expect(cloud.keys).toEqual([first, first, first, expect.not.stringContaining(first)]);
});

test("edgehub gets another certificate with an unused token when its own is refused", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  const parts = { clock: systemClock, log: silentLog(), onRenewed: () => undefined };
  const token = cloud.token();
  const spent = new NodeIdentity(configOf(dir.path, cloud.port, token), parts);
  const before = await spent.credentials();
  spent.refused();
  expect((await spent.credentials())?.cert).toBe(before?.cert);
  const fresh = new NodeIdentity(configOf(dir.path, cloud.port, cloud.token(Date.now() + 90_000)), parts);
  expect((await fresh.credentials())?.cert).toBe(before?.cert);
  fresh.refused();
  const after = await fresh.credentials();
  expect(after?.cert).not.toBe(before?.cert);
  expect((await fresh.credentials())?.cert).toBe(after?.cert);
});

test("edgehub renews a certificate late in its life with that certificate", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  let renewed = 0;
  const late = { ...systemClock, nowMs: () => Date.now() + 23 * 3_600_000 };
  const log = silentLog();
  const config = configOf(dir.path, cloud.port, cloud.token());
  using identity = new NodeIdentity(config, { clock: late, log, onRenewed: () => (renewed += 1) });
  const before = await identity.credentials();
  await identity.renewWhenDue();
  expect([renewed, cloud.enrollments.map(({ byCertificate }) => byCertificate)]).toEqual([1, [false, true]]);
  expect(readFileSync(join(dir.path, "certs/edge.crt"), "utf8")).not.toBe(before?.cert ?? "");
});

test("edgehub names the address when the cloud's certificate is for another", async () => {
  await using cloud = await ScriptedCloud.start(["cloud.example"]);
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  await eventually("the remedy in the log", () => edge.log.lines.some((line) => line.includes("dns-names")));
  expect(edge.log.lines.join("")).toContain("cloud.example");
});
