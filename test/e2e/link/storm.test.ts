import { expect, test } from "bun:test";
import { connect, type MqttClient } from "mqtt";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { seeded } from "#internal/test/support/seeded.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
const names = ["storm-1", "storm-2", "storm-3"];
const uploadTopic = "SYS/dis/upload_records";
const rounds = 16;

const objects = (node: string): object[] => [
  {
    apiVersion,
    kind: "DeviceModel",
    metadata: { name: "storm", namespace: "default" },
    spec: {
      protocol: "mqtt",
      properties: [
        { name: "seq", type: "INT", accessMode: "ReadOnly" },
        { name: "target", type: "INT", accessMode: "ReadWrite" },
      ],
    },
  },
  ...names.map((name) => ({
    apiVersion,
    kind: "Device",
    metadata: { name, namespace: "default" },
    spec: {
      deviceModelRef: { name: "storm" },
      nodeName: node,
      properties: [{ name: "seq" }, { name: "target", desired: { value: "0" } }],
    },
  })),
];

/** A device that sends its next message when the last was answered, and sends it again when its connection is lost. */
class Talker {
  readonly #pair: Pair;
  readonly #id: string;
  readonly #stop = new AbortController();
  /** how often something was said that may have been taked before */
  repeated = 0;
  said = 0;

  constructor(pair: Pair, id: string) {
    this.#pair = pair;
    this.#id = id;
  }

  async run(say: (client: MqttClient, n: number) => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const client = await this.#connect();
      if (client) await this.#talk(client, say).catch(() => (this.repeated += 1));
      await client?.endAsync(true);
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  async #talk(client: MqttClient, say: (client: MqttClient, n: number) => Promise<void>): Promise<void> {
    const lost = new Promise<never>((_, reject) => client.once("close", () => reject(new Error("lost"))));
    lost.catch(() => undefined);
    while (!this.#stop.signal.aborted) {
      await Promise.race([lost, say(client, this.said)]);
      this.said += 1;
    }
  }

  async #connect(): Promise<MqttClient | undefined> {
    const port = [...this.#pair.edgeLog().matchAll(/"listener":"mqtt","port":(\d+)/g)].at(-1)?.[1];
    const client = connect(`mqtt://127.0.0.1:${port}`, { clientId: this.#id, reconnectPeriod: 0 });
    client.on("error", () => undefined);
    const up = await new Promise<boolean>((resolve) => {
      client.once("connect", () => resolve(true));
      client.once("close", () => resolve(false));
    });
    if (up) return client;
    await Bun.sleep(50);
    return undefined;
  }
}

/** Sends a number as a report and waits for its result. */
async function report(name: string, client: MqttClient, n: number): Promise<void> {
  const topic = `$hw/events/device/${name}/twin/update`;
  if (client.listenerCount("message") === 0) await client.subscribeAsync(`${topic}/result`, { qos: 1 });
  const answered = new Promise<void>((resolve) => {
    const take = (_: string, payload: Buffer): void => {
      const { event_id: id, code } = JSON.parse(payload.toString()) as { event_id: string; code?: number };
      if (id !== String(n) || code !== undefined) return;
      client.off("message", take);
      resolve();
    };
    client.on("message", take);
  });
  const twin = { seq: { actual: { value: String(n) } } };
  await client.publishAsync(topic, JSON.stringify({ event_id: String(n), timestamp: 0, twin }), { qos: 1 });
  await answered;
}

async function upload(client: MqttClient, n: number): Promise<void> {
  await client.publishAsync(uploadTopic, String(n), { qos: 1 });
  // So that the uploads last as long as the troubles, instead of being over before the first.
  await Bun.sleep(5);
}

function troubles(pair: Pair, random: () => number): (() => Promise<void>)[] {
  return [
    async () => pair.link.cut(),
    async () => {
      pair.link.cut({ refuse: true });
      await Bun.sleep(random() * 1500);
      pair.link.restore();
    },
    async () => {
      await pair.killEdge();
      await pair.startEdge();
    },
    async () => {
      await pair.killCloud();
      await pair.startCloud();
    },
  ];
}

async function uploadsOf(pair: Pair): Promise<number[]> {
  const all: number[] = [];
  for (let after = 0; ;) {
    const path = `/apis/devices.kubeedge.io/v1beta1/uploads?after=${after}&limit=1000`;
    const text = await pair.kubectl("get", "--raw", path);
    const { uploads, next } = JSON.parse(text) as { uploads: { content: string }[]; next: number };
    if (uploads.length === 0) return all;
    all.push(...uploads.map(({ content }) => Number(content)));
    after = next;
  }
}

async function statusOf(pair: Pair, name: string): Promise<string> {
  const path = 'jsonpath={.status.twins[?(@.propertyName=="seq")].reported.value}';
  return pair.kubectl("get", "device", name, "-o", path);
}

test.skipIf(!hasPair())(
  "no answered report, no upload and no wish is lost over cuts and kills of both sides, and nothing comes twice",
  async () => {
    await using pair = await startPair();
    await pair.apply(...objects(pair.node));
    await until(10_000, () => pair.rows("SELECT id FROM device").length === 3 || "the node lacks devices");
    const random = seeded(20_261_125);
    const devices = names.map((name) => new Talker(pair, name));
    const uploader = new Talker(pair, "uploader");
    const talking = [
      ...devices.map((device, index) => device.run((client, n) => report(names[index] ?? "", client, n))),
      uploader.run(upload),
    ];
    const all = troubles(pair, random);
    for (let round = 0; round < rounds; round += 1) {
      await all[round % all.length]?.();
      await pair.apply({
        ...objects(pair.node)[1 + (round % names.length)],
        spec: {
          deviceModelRef: { name: "storm" },
          nodeName: pair.node,
          properties: [{ name: "seq" }, { name: "target", desired: { value: String(round + 1) } }],
        },
      });
      await Bun.sleep(random() * 800);
    }
    await pair.ready();
    for (const talker of [...devices, uploader]) talker.stop();
    await Promise.all(talking);
    await pair.outboxEmpty(30_000);
    await until(10_000, async () => {
      const shown = await Promise.all(names.map((name) => statusOf(pair, name)));
      const last = devices.map(({ said }) => String(said - 1));
      return Bun.deepEquals(shown, last) || `the API shows ${shown.join()} of ${last.join()}`;
    });
    const wishes = pair.rows("SELECT expected FROM device_twin WHERE name = 'target' ORDER BY deviceid");
    expect(wishes).toEqual(["16", "14", "15"]);
    const uploads = await uploadsOf(pair);
    const once = uploads.filter((n, index) => n !== uploads[index - 1]);
    expect(once).toEqual(Array.from({ length: uploader.said }, (_, n) => n));
    expect(uploads.length - once.length).toBeLessThanOrEqual(uploader.repeated);
    console.log(
      `${devices.map(({ said }) => said).join()} reports answered, ${uploads.length} uploads over ${rounds} troubles`,
    );
    expect(Math.min(...devices.map(({ said }) => said))).toBeGreaterThan(100);
  },
  180_000,
);
