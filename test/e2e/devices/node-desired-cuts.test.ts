import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { seeded } from "#internal/test/support/seeded.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
const rounds = 12;
const places = { device: "/apis/devices.kubeedge.io/v1beta1/namespaces/default/devices/thermo-1" };

const device = (nodeName: string): object => ({
  apiVersion,
  kind: "Device",
  metadata: { name: "thermo-1", namespace: "default" },
  spec: { nodeName, properties: [{ name: "target", desired: { value: "start" } }] },
});

describe.skipIf(!hasPair())("desired values that both sides set", () => {
  let pair: Pair;

  beforeAll(async () => {
    pair = await startPair();
    await pair.apply(device(pair.node));
    await until(20_000, async () => (await onNode(pair)) === "start" || "the node has no Device yet");
  }, 120_000);
  afterAll(() => pair[Symbol.asyncDispose]());

  test("end as the last one that was set, through cuts and kill -9 of edgecore", async () => {
    const random = seeded(20_261_129);
    for (let round = 0; round < rounds; round += 1) {
      pair.link.cut({ refuse: true });
      let last = "";
      const changes = 1 + Math.floor(random() * 4);
      for (let change = 0; change < changes; change += 1) {
        const side = random() < 0.5 ? "node" : "cloud";
        last = `${side}-${round}-${change}`;
        if (side === "node") await setOnNode(pair, last);
        else await setInCloud(pair, last);
        if (random() < 0.3) await restart(pair);
      }
      pair.link.restore();
      await until(60_000, async () => {
        const both = [await inCloud(pair), await onNode(pair)];
        return both.every((value) => value === last) || `${both.join(" and ")} instead of ${last}`;
      });
      await until(
        20_000,
        () => pair.rows("SELECT key FROM meta WHERE type = 'devicedesired'").length === 0 || "left",
      );
      expect(pair.rows("SELECT desired FROM device_twin WHERE name = 'target'")).toEqual([last]);
    }
  }, 400_000);

  test("are set once when many clients update the version they have read", async () => {
    const read = await (await call(pair, "GET")).text();
    const updates = Array.from({ length: 20 }, (_, n) =>
      read.replace(/"value":"[^"]*"/, `"value":"many-${n}"`),
    );
    const answers = await Promise.all(updates.map((body) => call(pair, "PUT", body)));
    const codes = answers.map(({ status }) => status).toSorted((a, b) => a - b);
    expect(codes).toEqual([200, ...Array.from({ length: 19 }, () => 409)]);
  }, 60_000);
});

async function restart(pair: Pair): Promise<void> {
  await pair.killEdge();
  await pair.startEdge();
  await until(
    20_000,
    async () => (await call(pair, "GET").catch(() => undefined))?.status === 200 || "not there",
  );
}

async function call(pair: Pair, method: string, body?: string, type = "application/json"): Promise<Response> {
  const { clusters, users } = (await Bun.file(join(pair.edgeDir, "kubeconfig")).json()) as {
    clusters: [{ cluster: { server: string; "certificate-authority-data": string } }];
    users: [{ user: { token: string } }];
  };
  const { server, "certificate-authority-data": data } = clusters[0].cluster;
  const headers = { authorization: `Bearer ${users[0].user.token}`, "content-type": type };
  const tls = { ca: Buffer.from(data, "base64").toString() };
  return fetch(server + places.device, { method, headers, tls, ...(body && { body }) } as RequestInit);
}

async function setOnNode(pair: Pair, value: string): Promise<void> {
  const answer = await call(pair, "PATCH", patchOf(value), "application/json-patch+json");
  if (!answer.ok) throw new Error(await answer.text());
}

async function setInCloud(pair: Pair, value: string): Promise<void> {
  await pair.kubectl("patch", "device", "thermo-1", "--type=json", "-p", patchOf(value));
}

function patchOf(value: string): string {
  return JSON.stringify([{ op: "replace", path: "/spec/properties/0/desired/value", value }]);
}

async function onNode(pair: Pair): Promise<string> {
  const answer = await call(pair, "GET").catch(() => undefined);
  if (!answer?.ok) return `status ${answer?.status}`;
  const { spec } = (await answer.json()) as { spec: { properties: [{ desired?: { value: string } }] } };
  return spec.properties[0].desired?.value ?? "";
}

async function inCloud(pair: Pair): Promise<string> {
  return pair.kubectl("get", "device", "thermo-1", "-o", "jsonpath={.spec.properties[0].desired.value}");
}
