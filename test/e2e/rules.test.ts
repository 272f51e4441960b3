import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { eventually } from "#internal/scripts/service.ts";
import { inOrder } from "#internal/test/support/in-order.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { seeded } from "#internal/test/support/seeded.ts";

const apiVersion = "rules.kubeedge.io/v1";
const messageIdHeader = "x-kubeedge-message-id";
const topic = "default/readings";
const rounds = 30;
const total = 1000;

interface Received {
  readonly body: string;
  readonly id: string;
}

interface Receiver extends AsyncDisposable {
  readonly received: Received[];
  readonly port: number;
}

/** An HTTP server that notes what it takes, and is busy now and then. */
function startReceiver(busy: () => boolean = () => false): Receiver {
  const received: Received[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const id = request.headers.get(messageIdHeader) ?? "";
      const body = await request.text();
      if (busy()) return new Response("busy", { status: 503 });
      received.push({ body, id });
      return new Response("ok");
    },
  });
  return {
    received,
    port: server.port ?? 0,
    [Symbol.asyncDispose]: async () => {
      await server.stop(true);
    },
  };
}

/** Publishes with QoS 1 to the broker of edgecore, wherever it listens now, until it acknowledges. */
class Publisher implements AsyncDisposable {
  /** How often each message was sent: an attempt without acknowledgement may have arrived. */
  readonly attempts = new Map<string, number>();
  readonly #pair: Pair;
  #client: MqttClient | undefined;

  constructor(pair: Pair) {
    this.#pair = pair;
  }

  async publish(text: string): Promise<void> {
    await eventually(20_000, async () => {
      const client = await this.#connected();
      this.attempts.set(text, (this.attempts.get(text) ?? 0) + 1);
      try {
        await client.publishAsync(topic, text, { qos: 1 });
      } catch (error) {
        this.#drop();
        throw error;
      }
    });
  }

  async #connected(): Promise<MqttClient> {
    if (this.#client?.connected === true) return this.#client;
    this.#drop();
    const port = /"listener":"mqtt","port":(\d+)/.exec(this.#pair.edgeLog())?.[1];
    if (port === undefined) throw new Error("the broker of edgecore does not listen");
    const client = await connectAsync(
      `mqtt://127.0.0.1:${port}`,
      { reconnectPeriod: 0, connectTimeout: 2000 },
      false,
    );
    client.on("error", () => undefined);
    // Without it, a publication on a connection that is cut would wait for ever.
    client.on("close", () => client.end(true));
    this.#client = client;
    return client;
  }

  #drop(): void {
    this.#client?.end(true);
    this.#client = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#drop();
  }
}

const endpoint = (name: string, ruleEndpointType: string, properties: object = {}): object => ({
  apiVersion,
  kind: "RuleEndpoint",
  metadata: { name, namespace: "default" },
  spec: { ruleEndpointType, properties },
});
const rule = (name: string, spec: object): object => ({
  apiVersion,
  kind: "Rule",
  metadata: { name, namespace: "default" },
  spec,
});

describe.skipIf(!hasPair())("rules between cloudcore and edgecore", () => {
  let pair: Pair;
  let cloudApp: Receiver;
  let nodeApp: Receiver;
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    const random = seeded(1_129);
    cloudApp = stack.use(startReceiver(() => random() < 0.02));
    nodeApp = stack.use(startReceiver());
    pair = stack.use(await startPair());
    await pair.apply(
      endpoint("web", "rest"),
      endpoint("broker", "eventbus"),
      endpoint("app", "servicebus", { service_port: String(nodeApp.port) }),
      rule("readings", {
        source: "broker",
        sourceResource: { topic: "readings", node_name: pair.node },
        target: "web",
        targetResource: { resource: `http://127.0.0.1:${cloudApp.port}/readings` },
      }),
      rule("orders", {
        source: "web",
        sourceResource: { path: "/orders" },
        target: "app",
        targetResource: { path: "/orders", delivery: "durable" },
      }),
    );
    await until(20_000, async () => {
      const rows = pair.rows("SELECT key FROM meta WHERE type = 'rule'");
      return rows.length === 2 || `the node has ${rows.length} rules`;
    });
  }, 60_000);
  afterAll(() => stack.disposeAsync(), 20_000);

  test("every reading that the broker acknowledged arrives, through cuts and kill -9 of both sides", async () => {
    const random = seeded(20_261_129);
    await using publisher = new Publisher(pair);
    const kills = new Map([
      [7, "cloud"],
      [14, "edge"],
      [21, "cloud"],
      [28, "edge"],
    ]);
    const disturb = async (round: number): Promise<void> => {
      await Bun.sleep(random() * 40);
      const links = pair.link.accepted;
      const killed = kills.get(round);
      if (killed === "cloud") await pair.killCloud().then(() => pair.startCloud());
      else if (killed === "edge") await pair.killEdge().then(() => pair.startEdge());
      else pair.link.cut();
      // Every other one finds a link; the rest fall into dials and handshakes as well.
      if (round % 2 === 0) return;
      await until(20_000, () => pair.link.accepted > links || "edgecore does not reconnect");
    };
    const texts = Array.from({ length: total }, (_, n) => `reading ${n}`);
    for (let round = 0; round < rounds; round += 1) {
      const some = texts.filter((_, n) => n % rounds === round);
      const publishing = async (): Promise<void> => {
        for (const text of some) await publisher.publish(text);
      };
      await Promise.all([publishing(), disturb(round)]);
    }
    await until(20_000, () => {
      const seen = new Set(cloudApp.received.map(({ body }) => body));
      const missing = texts.filter((text) => !seen.has(text));
      return missing.length === 0 || `${missing.length} readings are missing, such as "${missing[0]}"`;
    });
    const idsOf = new Map<string, Set<string>>();
    for (const { body, id } of cloudApp.received) idsOf.set(body, (idsOf.get(body) ?? new Set()).add(id));
    expect([...idsOf.keys()].toSorted()).toEqual(texts.toSorted());
    // A reading that was published again is another message; one that was delivered again is the same.
    const tooMany = [...idsOf].filter(
      ([body, ids]) => ids.has("") || ids.size > (publisher.attempts.get(body) ?? 0),
    );
    expect(tooMany).toEqual([]);
  }, 90_000);

  test("requests with durable delivery arrive at a node that was offline, also when cloudcore was killed", async () => {
    const token = (
      await pair.kubectl("config", "view", "--raw", "-o", "jsonpath={.users[0].user.token}")
    ).trim();
    const folder = resolve(pair.edgeDir, "../cloud");
    const order = async (body: string): Promise<string> =>
      eventually(20_000, async () => {
        const { router } = JSON.parse(readFileSync(`${folder}/ports.json`, "utf8")) as { router: number };
        const response = await fetch(`https://127.0.0.1:${router}/${pair.node}/default/orders`, {
          method: "POST",
          body,
          headers: { authorization: `Bearer ${token}` },
          tls: { ca: readFileSync(`${folder}/ca/rootCA.crt`, "utf8") },
        });
        const said = await response.text();
        if (response.status !== 202) throw new Error(`${response.status} ${said}`);
        return response.headers.get(messageIdHeader) ?? "";
      });
    const steps = inOrder();
    const ids: Received[] = [];
    steps.step("a node is offline and a request is queued", async () => {
      await pair.killEdge();
      ids.push({ body: "first", id: await order("first") });
    });
    steps.step("cloudcore is killed, and another request is queued after it", async () => {
      await pair.killCloud();
      await pair.startCloud();
      ids.push({ body: "second", id: await order("second") });
    });
    steps.step("the node connects and gets both under their ids", async () => {
      expect(nodeApp.received).toEqual([]);
      await pair.startEdge();
      await until(30_000, () => nodeApp.received.length >= 2 || `${nodeApp.received.length} have arrived`);
      expect(nodeApp.received).toEqual(ids);
    });
    await steps.run();
  }, 90_000);
});
