import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { run } from "#internal/scripts/service.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { needsCommands } from "#internal/test/support/needs.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
const updates = 200;
const able = hasPair() && needsCommands("mosquitto_pub");

/** A model of many properties: what arrives can be counted although status writes are coalesced. */
const model = {
  apiVersion,
  kind: "DeviceModel",
  metadata: { name: "counter", namespace: "default" },
  spec: {
    protocol: "mqtt",
    properties: [
      { name: "target", type: "FLOAT", accessMode: "ReadWrite", minimum: "5", maximum: "35" },
      { name: "seq", type: "INT", accessMode: "ReadOnly" },
      ...Array.from({ length: updates }, (_, n) => ({ name: `p${n}`, type: "INT", accessMode: "ReadOnly" })),
    ],
  },
};

function device(name: string, nodeName: string): object {
  const spec = {
    deviceModelRef: { name: "counter" },
    nodeName,
    properties: [{ name: "target", desired: { value: "20" } }],
  };
  return { apiVersion, kind: "Device", metadata: { name, namespace: "default" }, spec };
}

function portOf(pair: Pair): number {
  const said = /"listener":"mqtt","port":(\d+)/.exec(pair.edgeLog());
  if (!said) throw new Error("edgecore does not listen yet");
  return Number(said[1]);
}

/** The reported values in the status of a Device. */
async function values(pair: Pair, name: string): Promise<Map<string, string>> {
  const text = await pair.kubectl("get", "device", name, "-o", "jsonpath={.status.twins}");
  const twins = JSON.parse(text || "[]") as { propertyName: string; reported?: { value: string } }[];
  const reports = twins.filter(({ reported }) => reported !== undefined);
  return new Map(reports.map(({ propertyName, reported }) => [propertyName, reported?.value ?? ""]));
}

const topic = (name: string, end: string): string => `$hw/events/device/${name}/twin/${end}`;

function update(twin: Record<string, string>, id = "1"): string {
  const properties = Object.entries(twin).map(([name, value]) => [name, { actual: { value } }]);
  return JSON.stringify({ event_id: id, timestamp: 0, twin: Object.fromEntries(properties) });
}

async function join(pair: Pair, name: string): Promise<MqttClient> {
  const client = await connectAsync(`mqtt://127.0.0.1:${portOf(pair)}`, {
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  client.on("error", () => undefined);
  await client.subscribeAsync(topic(name, "update/result"), { qos: 1 });
  return client;
}

interface NextMessage extends AsyncDisposable {
  /** The message as JSON. @throws when none comes within `ms` */
  within(ms: number): Promise<unknown>;
}

/** Subscribes to a topic; the first message that comes then. */
async function nextMessage(pair: Pair, filter: string): Promise<NextMessage> {
  const client = await connectAsync(`mqtt://127.0.0.1:${portOf(pair)}`, { reconnectPeriod: 0 });
  const payloads: string[] = [];
  client.on("message", (_topic, payload) => payloads.push(payload.toString()));
  await client.subscribeAsync(filter, { qos: 1 });
  return {
    within: async (ms) => {
      await until(ms, () => payloads.length > 0 || `no message on ${filter}`);
      return JSON.parse(payloads[0] ?? "");
    },
    [Symbol.asyncDispose]: () => client.endAsync(),
  };
}

/** Adds every update that is answered without an error code. */
function noteAnswers(client: MqttClient, answered: Set<number>): void {
  client.on("message", (_topic, payload) => {
    const { event_id: id, code } = JSON.parse(payload.toString()) as { event_id: string; code?: number };
    if (code === undefined) answered.add(Number(id));
  });
}

function summary(ms: readonly number[]): string {
  const sorted = ms.toSorted((a, b) => a - b);
  return `p50 ${sorted[Math.floor(ms.length / 2)]?.toFixed(0)} ms, most ${sorted.at(-1)?.toFixed(0)} ms`;
}

/** All changes of a device's status, as kubectl shows them. */
function follow(pair: Pair, name: string): { readonly lines: string[] } & AsyncDisposable {
  const path = 'jsonpath={.status.twins[?(@.propertyName=="seq")].reported.value}{"\\n"}';
  const kubeconfig = resolve(pair.edgeDir, "../cloud/kubeconfig");
  const child = Bun.spawn(["kubectl", "--kubeconfig", kubeconfig, "get", "device", name, "-w", "-o", path], {
    stdout: "pipe",
    stderr: "ignore",
  });
  const lines: string[] = [];
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) lines.push(...decoder.decode(chunk).split("\n").filter(Boolean));
  })();
  return {
    lines,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await reading;
    },
  };
}

describe.skipIf(!able)("devices from MQTT to the API and back", () => {
  let pair: Pair;

  beforeAll(async () => {
    pair = await startPair();
    const names = ["report", "target", "cut", "killed"];
    for (const object of [model, ...names.map((name) => device(name, pair.node))]) await pair.apply(object);
    await until(10_000, () => {
      const known = pair.rows("SELECT COUNT(*) || '' FROM device")[0];
      return known === "4" || `the node knows ${known} devices`;
    });
  }, 40_000);

  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  }, 20_000);

  async function publish(name: string, twin: Record<string, string>): Promise<void> {
    const where = ["-p", String(portOf(pair)), "-q", "1", "-t", topic(name, "update")];
    await run(["mosquitto_pub", ...where, "-m", update(twin)]);
  }

  test("a report is in the status within a second", async () => {
    await using watched = follow(pair, "report");
    const took: number[] = [];
    const rested: number[] = [];
    for (let n = 0; n < 20; n += 1) {
      const calm = n >= 10;
      // The rate limit of a device has recovered after half a second without reports.
      if (calm) await Bun.sleep(600);
      const since = performance.now();
      await publish("report", { seq: String(n) });
      await until(5000, () => watched.lines.at(-1) === String(n) || `the status has ${watched.lines.at(-1)}`);
      (calm ? rested : took).push(performance.now() - since);
    }
    console.log(`report to status: ${summary(took)}; after a pause of the device: ${summary(rested)}`);
    expect(Math.max(...took, ...rested)).toBeLessThan(1000);
  }, 30_000);

  test("500 reports a second do not fall behind", async () => {
    await using watched = follow(pair, "report");
    const client = await join(pair, "report");
    const since = performance.now();
    for (let n = 0; n < 2000;) {
      const due = Math.min(2000, Math.ceil((performance.now() - since) / 2));
      for (; n < due; n += 1)
        client.publish(topic("report", "update"), update({ seq: `${100 + n}` }), { qos: 1 });
      await Bun.sleep(2);
    }
    await until(1500, () => watched.lines.at(-1) === "2099" || `the status has ${watched.lines.at(-1)}`);
    await client.endAsync();
  }, 20_000);

  test("a desired value of kubectl patch reaches the device, and what it reports comes back", async () => {
    await using delta = await nextMessage(pair, topic("target", "update/delta"));
    const properties = [{ name: "target", desired: { value: "23.5" } }];
    const patch = JSON.stringify({ spec: { properties } });
    await pair.kubectl("patch", "device", "target", "--type=merge", "-p", patch);
    expect(await delta.within(10_000)).toMatchObject({ delta: { target: "23.5" } });
    await publish("target", { target: "23.5" });
    await until(2000, async () => {
      const got = (await values(pair, "target")).get("target");
      return got === "23.5" || `the status has ${got}`;
    });
  }, 20_000);

  test("a Device that its model contradicts later has an Event that kubectl describe shows", async () => {
    const maximum = async (value: string): Promise<void> => {
      const patch = JSON.stringify([{ op: "replace", path: "/spec/properties/0/maximum", value }]);
      await pair.kubectl("patch", "devicemodel", "counter", "--type=json", "-p", patch);
    };
    await maximum("10");
    await until(10_000, async () => {
      const text = await pair.kubectl("describe", "device", "report");
      return /Warning\s+ContradictsModel.*"20": must be at most 10/.test(text) || text;
    });
    await maximum("35");
  }, 20_000);

  test("updates during a cut link arrive after it, in order, and none is lost", async () => {
    pair.link.cut({ refuse: true });
    await using watched = follow(pair, "cut");
    const answered = new Set<number>();
    const client = await join(pair, "cut");
    noteAnswers(client, answered);
    for (let n = 0; n < updates; n += 1)
      await client.publishAsync(topic("cut", "update"), update({ [`p${n}`]: `${n}`, seq: `${n}` }, `${n}`), {
        qos: 1,
      });
    await until(10_000, () => answered.size === updates || `${answered.size} updates are answered`);
    await client.endAsync();
    expect((await values(pair, "cut")).size).toBe(0);
    pair.link.restore();
    await until(30_000, async () => {
      const arrived = await values(pair, "cut");
      return (arrived.size === updates + 1 && arrived.get("seq") === "199") || `${arrived.size} arrived`;
    });
    const seen = watched.lines.map(Number);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(updates - 1);
    await pair.outboxEmpty();
  }, 60_000);

  test("what was changed while the node was away has converged when it is back", async () => {
    for (const name of ["kept", "moved", "deleted"]) await pair.apply(device(name, pair.node));
    await until(
      10_000,
      () => pair.rows("SELECT name FROM device").includes("deleted") || "not all are known",
    );
    pair.link.cut({ refuse: true });
    await pair.kubectl("delete", "device", "deleted", "--timeout=10s");
    const patch = (spec: object): string[] => ["--type=merge", "-p", JSON.stringify({ spec })];
    await pair.kubectl("patch", "device", "moved", ...patch({ nodeName: "elsewhere" }));
    for (const value of ["11", "12", "13"]) {
      const properties = [{ name: "target", desired: { value } }];
      await pair.kubectl("patch", "device", "kept", ...patch({ properties }));
    }
    await using delta = await nextMessage(pair, topic("kept", "update/delta"));
    pair.link.restore();
    expect(await delta.within(20_000)).toMatchObject({ delta: { target: "13" } });
    await until(10_000, () => {
      const left = pair.rows("SELECT name FROM device").filter((name) => /moved|deleted/.test(name));
      return left.length === 0 || `the node still has ${left.join(" ")}`;
    });
  }, 60_000);

  test("pending reports of a Device do not reach a new one of its name, and do reach one that moved and came back", async () => {
    const names = ["recreated", "returned"];
    await pair.apply(...names.map((name) => device(name, pair.node)));
    await until(10_000, () => {
      const known = pair.rows("SELECT name FROM device");
      return names.every((name) => known.includes(name)) || `the node knows ${known.join(" ")}`;
    });
    pair.link.cut({ refuse: true });
    for (const name of names) await publish(name, { seq: "7" });
    await pair.kubectl("delete", "device", "recreated", "--timeout=10s");
    await pair.apply(device("recreated", pair.node));
    for (const nodeName of ["elsewhere", pair.node])
      await pair.kubectl(
        "patch",
        "device",
        "returned",
        "--type=merge",
        "-p",
        JSON.stringify({ spec: { nodeName } }),
      );
    pair.link.restore();
    await until(20_000, async () => {
      const seq = (await values(pair, "returned")).get("seq");
      return seq === "7" || `the one that came back has ${seq}`;
    });
    await pair.outboxEmpty();
    expect((await values(pair, "recreated")).get("seq")).toBeUndefined();
    await publish("recreated", { seq: "8" });
    await until(10_000, async () => {
      const seq = (await values(pair, "recreated")).get("seq");
      return seq === "8" || `the new one has ${seq}`;
    });
  }, 60_000);

  test("devices of one name in three namespaces are three, and stay so when some of them go", async () => {
    const namespaces = ["default", "lab1", "lab2"];
    for (const name of namespaces.slice(1))
      await pair.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
    const twins = ["twin1", "twin2", "twin3", "twin4"];
    const all = twins.flatMap((name) => namespaces.map((namespace) => ({ name, namespace })));
    const bare = ({ name, namespace }: { name: string; namespace: string }): object => ({
      ...device(name, pair.node),
      metadata: { name, namespace },
      spec: { nodeName: pair.node, properties: [{ name: "seq" }] },
    });
    await pair.apply(...all.map(bare));
    const known = (): string[] => pair.rows("SELECT id FROM device WHERE name LIKE 'twin_'");
    await until(10_000, () => known().length === 12 || `the node knows ${known().join(" ")}`);
    const seqOf = ({ name, namespace }: { name: string; namespace: string }): Promise<string> => {
      const path = 'jsonpath={.status.twins[?(@.propertyName=="seq")].reported.value}';
      return pair.kubectl("get", "device", name, "-n", namespace, "-o", path);
    };
    const reportAll = async (some: typeof all, round: number): Promise<void> => {
      const said = (at: number): string => `${round}00${at}`;
      for (const [at, { name, namespace }] of some.entries())
        await publish(`${namespace}/${name}`, { seq: said(at) });
      await until(10_000, async () => {
        const seen = await Promise.all(some.map((one) => seqOf(one)));
        return seen.every((seq, at) => seq === said(at)) || `the statuses have ${seen.join(" ")}`;
      });
    };
    await reportAll(all, 1);

    await pair.kubectl("delete", "devices", "-n", "lab1", ...twins, "--timeout=20s");
    await until(10_000, () => known().length === 8 || `the node knows ${known().join(" ")}`);
    pair.link.cut({ refuse: true });
    await pair.kubectl("delete", "devices", "twin1", "twin2", "--timeout=20s");
    pair.link.restore();
    await until(20_000, () => known().length === 6 || `the node knows ${known().join(" ")}`);
    const left = all.filter(
      ({ name, namespace }) => namespace === "lab2" || (namespace === "default" && /[34]$/.test(name)),
    );
    await reportAll(left, 2);
    const path = "/apis/devices.kubeedge.io/v1beta1/namespaces/lab2/devices/twin1/history?property=seq";
    const { history } = JSON.parse(await pair.kubectl("get", "--raw", path)) as { history: unknown[] };
    expect(history).toHaveLength(2);
  }, 90_000);

  test("devices whose names are words of the protocol report as any other", async () => {
    const names = ["node", "lease", "twin", "membership", "state"];
    await pair.apply(...names.map((name) => device(name, pair.node)));
    const known = (): string[] => pair.rows("SELECT name FROM device");
    await until(10_000, () => names.every((name) => known().includes(name)) || `known: ${known().join(" ")}`);
    for (const name of names) await publish(name, { seq: "7" });
    await until(10_000, async () => {
      const seen = await Promise.all(names.map(async (name) => (await values(pair, name)).get("seq")));
      return seen.every((seq) => seq === "7") || `the statuses have ${seen.join(" ")}`;
    });
    await pair.outboxEmpty();
  }, 40_000);

  test("kill -9 of edgecore loses no answered update", async () => {
    const answered = new Set<number>();
    for (let round = 0; round < 4; round += 1) {
      const client = await join(pair, "killed");
      noteAnswers(client, answered);
      for (let n = round * 50; n < round * 50 + 50; n += 1)
        client.publish(topic("killed", "update"), update({ [`p${n}`]: `${n}`, seq: `${n}` }, `${n}`), {
          qos: 1,
        });
      const atLeast = round * 20 + 5;
      await until(10_000, () => answered.size >= atLeast || `${answered.size} updates are answered`);
      await pair.killEdge();
      client.end(true);
      await pair.startEdge();
      await until(15_000, () => pair.edgeLog().includes('"listener":"mqtt"') || "edgecore does not start");
    }
    await until(30_000, async () => {
      const arrived = await values(pair, "killed");
      const lost = [...answered].filter((n) => arrived.get(`p${n}`) !== `${n}`);
      return lost.length === 0 || `of ${answered.size} answered updates ${lost.join(" ")} have not arrived`;
    });
    expect(answered.size).toBeGreaterThan(20);
  }, 90_000);
});
