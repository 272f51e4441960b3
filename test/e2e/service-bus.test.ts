import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { needsCommands } from "#internal/test/support/needs.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";

const apiVersion = "rules.kubeedge.io/v1";
const able = hasPair() && needsCommands("curl");
const events = 6;

const endpoint = (name: string, spec: object): object => ({
  apiVersion,
  kind: "RuleEndpoint",
  metadata: { name, namespace: "default" },
  spec: { properties: {}, ...spec },
});
const rule = (name: string, spec: object): object => ({
  apiVersion,
  kind: "Rule",
  metadata: { name, namespace: "default" },
  spec,
});

interface CurlAnswer {
  readonly status: number;
  readonly body: string;
}

/** A message that reached the target in the cloud. */
interface Arrived {
  readonly id: string;
  readonly text: string;
}

describe.skipIf(!able)("rules between cloud and node", () => {
  let pair: Pair;
  const arrived: Arrived[] = [];
  const onNode = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/events") return new Response(serverSentEvents());
      return new Response(`${request.method} ${pathname} ${(await request.bytes()).length}`);
    },
  });
  const inCloud = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const text = await request.text();
      arrived.push({ id: request.headers.get("x-kubeedge-message-id") ?? "", text });
      return new Response(`got ${text}`);
    },
  });
  const target = `http://127.0.0.1:${inCloud.port}`;

  beforeAll(async () => {
    pair = await startPair();
    const { node } = pair;
    await pair.apply(
      endpoint("rest", { ruleEndpointType: "rest" }),
      endpoint("mqtt", { ruleEndpointType: "eventbus" }),
      endpoint("app", { ruleEndpointType: "servicebus", properties: { service_port: String(onNode.port) } }),
      rule("to-app", {
        source: "rest",
        sourceResource: { path: "/app" },
        target: "app",
        targetResource: { path: "/" },
      }),
      rule("from-app", {
        source: "app",
        sourceResource: { target_url: "http://shop.example/echo", node_name: node },
        target: "rest",
        targetResource: { resource: `${target}/echo` },
      }),
      rule("from-mqtt", {
        source: "mqtt",
        sourceResource: { topic: "orders", node_name: node },
        target: "rest",
        targetResource: { resource: `${target}/orders` },
      }),
    );
  }, 60_000);

  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    await onNode.stop(true);
    await inCloud.stop(true);
  }, 30_000);

  /** Calls the REST entry as a user of the cloud does. */
  async function curl(path: string, ...words: readonly string[]): Promise<CurlAnswer> {
    const token = readFileSync(pair.cloudFile("embedded/admin-token"), "utf8").trim();
    const given = ["--cacert", pair.cloudFile("ca/rootCA.crt"), "-H", `Authorization: Bearer ${token}`];
    const url = `https://127.0.0.1:${pair.cloudPort("router")}${path}`;
    const child = Bun.spawn(["curl", "-sN", "-m", "30", "-w", "\n%{http_code}", ...given, ...words, url], {
      stderr: "inherit",
    });
    const [, body = "", status = ""] = /^(.*)\n(\d{3})$/s.exec(await new Response(child.stdout).text()) ?? [];
    return { status: Number(status), body };
  }

  const edgePorts = (): Record<string, number> => {
    const file = join(pair.edgeDir, "ports.json");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, number>) : {};
  };

  test("curl reaches a server on the node through the cloud", async () => {
    const path = `/${pair.node}/default/app/hello`;
    await until(20_000, async () => {
      const { status, body } = await curl(path);
      return status === 200 || `${status} ${body}`;
    });
    expect(await curl(path, "--data-binary", "x".repeat(1000))).toEqual({
      status: 200,
      body: "POST /hello 1000",
    });
  }, 40_000);

  test("server-sent events pass through as they come", async () => {
    const path = `/${pair.node}/default/app/events`;
    await until(20_000, async () => (await curl(path)).status === 200 || "the rule is not in effect");
    const { status, body } = await curl(path);
    expect([status, body.split("\n\n").filter(Boolean).length]).toEqual([200, events]);
  }, 30_000);

  test("a node without a link is reported as such, and served again once it is back", async () => {
    const path = `/${pair.node}/default/app/hello`;
    pair.link.cut({ refuse: true });
    await until(20_000, async () => {
      const { status, body } = await curl(path);
      return status === 504 || `${status} ${body}`;
    });
    pair.link.restore();
    await until(30_000, async () => (await curl(path)).status === 200 || "not yet");
  }, 60_000);

  test("a program on the node reaches a target in the cloud, and nothing else", async () => {
    await until(20_000, () => edgePorts()["service-bus"] !== undefined || "no target is known on the node");
    const post = async (targetURL: string): Promise<unknown> => {
      const response = await fetch(`http://127.0.0.1:${edgePorts()["service-bus"] ?? 0}/`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ method: "POST", targetURL, payload: { a: 1 } }),
      });
      return response.json();
    };
    const answer = await post("http://shop.example/echo");
    expect(answer).toMatchObject({ code: 200 });
    expect(JSON.stringify(answer)).toContain("got ");
    expect(await post(`${target}/other`)).toMatchObject({ code: 400 });
  }, 40_000);
});

function serverSentEvents(): ReadableStream<Uint8Array> {
  let count = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        count += 1;
        controller.enqueue(new TextEncoder().encode(`data: ${count}\n\n`));
        if (count === events) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}
