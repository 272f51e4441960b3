import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { seeded } from "#internal/test/support/seeded.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";

const count = 1000;
const faults = 30;

interface Received {
  readonly id: string;
  readonly content: string;
}

/** A target that fails now and then, and keeps what it took. */
function startTarget(random: () => number) {
  const received: Received[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const content = await request.text();
      if (random() < 0.02) return new Response("busy", { status: 503 });
      received.push({ id: request.headers.get("x-kubeedge-message-id") ?? "", content });
      return new Response();
    },
  });
  return { received, port: server.port ?? 0, [Symbol.asyncDispose]: () => server.stop(true) };
}

async function applyRule(pair: Pair, port: number): Promise<void> {
  const apiVersion = "rules.kubeedge.io/v1";
  const endpoint = (name: string, ruleEndpointType: string) => ({
    apiVersion,
    kind: "RuleEndpoint",
    metadata: { name },
    spec: { ruleEndpointType },
  });
  const spec = {
    source: "bus",
    sourceResource: { topic: "up", node_name: pair.node },
    target: "rest",
    targetResource: { resource: `http://127.0.0.1:${port}/` },
  };
  await pair.apply(endpoint("bus", "eventbus"), endpoint("rest", "rest"), {
    apiVersion,
    kind: "Rule",
    metadata: { name: "up" },
    spec,
  });
}

/** Publishes until the broker has acknowledged, over as many connections as that takes. */
class Publisher {
  readonly #pair: Pair;
  /** Contents that were published again: the node cannot know that they are the same. */
  readonly repeated = new Set<string>();
  #client: MqttClient | undefined;

  constructor(pair: Pair) {
    this.#pair = pair;
  }

  async publish(content: string): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      if (attempt > 0) this.repeated.add(content);
      try {
        this.#client ??= await this.#connect();
        const late = Bun.sleep(1500).then(() => Promise.reject(new Error("no acknowledgement")));
        await Promise.race([this.#client.publishAsync("default/up", content, { qos: 1 }), late]);
        return;
      } catch {
        this.end();
        await Bun.sleep(100);
      }
    }
  }

  end(): void {
    this.#client?.end(true);
    this.#client = undefined;
  }

  #connect(): Promise<MqttClient> {
    const file = join(this.#pair.edgeDir, "ports.json");
    const { mqtt = 0 } = JSON.parse(readFileSync(file, "utf8")) as Record<string, number>;
    return connectAsync(`mqtt://127.0.0.1:${mqtt}`, { reconnectPeriod: 0, connectTimeout: 1000 }, false);
  }
}

test.skipIf(!hasPair())(
  "no message of a rule is lost over 30 cuts and kills, and repetitions have the same id",
  async () => {
    const random = seeded(20_261_129);
    await using target = startTarget(random);
    await using pair = await startPair();
    await applyRule(pair, target.port);
    const publisher = new Publisher(pair);
    await until(20_000, async () => {
      await publisher.publish("probe");
      return target.received.length > 0 || "the rule is not in effect";
    });
    publisher.repeated.clear();
    let published = 0;
    const publishing = (async () => {
      while (published < count) {
        await publisher.publish(`message ${published}`);
        published += 1;
        await Bun.sleep(5);
      }
    })();
    for (let fault = 0; fault < faults; fault += 1) {
      if (fault % 10 === 3) {
        await pair.killCloud();
        await pair.startCloud();
      } else if (fault % 10 === 7) {
        await pair.killEdge();
        await pair.startEdge();
      } else pair.link.cut();
      await Bun.sleep(random() * 500);
    }
    await publishing;
    publisher.end();
    const wanted = Array.from({ length: count }, (_, index) => `message ${index}`);
    await until(60_000, () => {
      const had = new Set(target.received.map(({ content }) => content));
      const missing = wanted.filter((content) => !had.has(content));
      return missing.length === 0 || `${missing.length} are missing, such as ${missing[0]}`;
    });
    const ids = new Map<string, Set<string>>();
    for (const { id, content } of target.received) ids.set(content, (ids.get(content) ?? new Set()).add(id));
    const odd = wanted.filter((content) => !publisher.repeated.has(content) && ids.get(content)?.size !== 1);
    expect(odd).toEqual([]);
    console.log(
      `${target.received.length} deliveries of ${count} messages, ${publisher.repeated.size} published again`,
    );
  },
  180_000,
);
