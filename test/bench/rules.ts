import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { eventually } from "#internal/scripts/service.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { inFlight } from "./api.ts";
import { startPair, type Pair } from "./pair.ts";

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const rulesPath = "/apis/rules.kubeedge.io/v1/namespaces/default";
const payload = new Uint8Array(64 * 1024 * 1024);
const requests = 4000;
const messages = 4000;

/** Requests through the router to a server on a node, beside the same server asked directly; and to the broker there. */
export async function benchRules(): Promise<Figure[]> {
  using dir = tempDir("bench");
  await using app = startApp();
  await using pair = await startPair(dir.path, 0);
  await makeRules(pair, app.port);
  const entry = entryOf(dir.path);
  const direct = `http://127.0.0.1:${app.port}/hello`;
  await eventually(20_000, async () => expectStatus(await entry.ask("/bench/default/app/hello"), 200));
  const figures: Figure[] = [];
  for (const many of [1, 64]) {
    const through = await measure(
      many,
      async () => void (await (await entry.ask("/bench/default/app/hello")).text()),
    );
    const beside = await measure(many, async () => void (await (await fetch(direct)).text()));
    figures.push(...named(`rest to servicebus, ${many} in flight`, through));
    figures.push(...named(`the same server directly, ${many} in flight`, beside));
  }
  figures.push(...(await measureBroker(dir.path, pair, entry)));
  figures.push(...(await measureMemory(pair, entry)));
  return figures;
}

function startApp(): AsyncDisposable & { readonly port: number } {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    maxRequestBodySize: 128 * 1024 * 1024,
    fetch: async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/download") return new Response(payload);
      let bytes = 0;
      if (request.body) for await (const chunk of request.body) bytes += chunk.length;
      return new Response(`${bytes}`);
    },
  });
  return { port: server.port ?? 0, [Symbol.asyncDispose]: () => server.stop(true) };
}

async function makeRules({ call }: Pair, port: number): Promise<void> {
  const apiVersion = "rules.kubeedge.io/v1";
  const endpoints = {
    rest: { ruleEndpointType: "rest" },
    bus: { ruleEndpointType: "eventbus" },
    app: { ruleEndpointType: "servicebus", properties: { service_port: String(port) } },
  };
  for (const [name, spec] of Object.entries(endpoints))
    await call("POST", `${rulesPath}/ruleendpoints`, {
      apiVersion,
      kind: "RuleEndpoint",
      metadata: { name },
      spec,
    });
  const rules = {
    app: { source: "rest", sourceResource: { path: "/app" }, target: "app", targetResource: { path: "/" } },
    cmd: {
      source: "rest",
      sourceResource: { path: "/cmd" },
      target: "bus",
      targetResource: { topic: "cmd" },
    },
  };
  for (const [name, spec] of Object.entries(rules))
    await call("POST", `${rulesPath}/rules`, { apiVersion, kind: "Rule", metadata: { name }, spec });
}

interface Entry {
  readonly ask: (path: string, init?: RequestInit) => Promise<Response>;
}

function entryOf(folder: string): Entry {
  const cloud = join(folder, "cloud");
  const { router = 0 } = JSON.parse(readFileSync(join(cloud, "ports.json"), "utf8")) as Record<
    string,
    number
  >;
  const token = readFileSync(join(cloud, "embedded/admin-token"), "utf8").trim();
  const ca = readFileSync(join(cloud, "ca/rootCA.crt"), "utf8");
  const headers = { authorization: `Bearer ${token}` };
  return {
    ask: (path, init = {}) =>
      fetch(`https://127.0.0.1:${router}${path}`, { ...init, headers, tls: { ca } } as BunFetchRequestInit),
  };
}

interface Latencies {
  readonly p50: number;
  readonly p99: number;
  readonly perSecond: number;
}

async function measure(many: number, ask: () => Promise<void>): Promise<Latencies> {
  const spent: number[] = [];
  const run = (count: number) =>
    inFlight(count, many, async () => {
      const started = performance.now();
      await ask();
      spent.push(performance.now() - started);
    });
  await run(requests / 4);
  spent.length = 0;
  const started = performance.now();
  await run(requests);
  const seconds = (performance.now() - started) / 1000;
  const sorted = spent.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), perSecond: requests / seconds };
}

function named(name: string, { p50, p99, perSecond }: Latencies): Figure[] {
  return [
    { name: `${name}, p50`, value: p50, unit: "ms" },
    { name: `${name}, p99`, value: p99, unit: "ms" },
    { name: `${name}, rate`, value: perSecond, unit: "/s" },
  ];
}

async function measureBroker(folder: string, { mqtt }: Pair, entry: Entry): Promise<Figure[]> {
  const client = await connectAsync(`mqtt://127.0.0.1:${mqtt}`, { protocolVersion: 4 });
  let received = 0;
  client.on("message", () => (received += 1));
  await client.subscribeAsync("cmd", { qos: 1 });
  await eventually(20_000, async () =>
    expectStatus(await entry.ask("/bench/default/cmd", { method: "POST", body: "x" }), 200),
  );
  received = 0;
  const started = performance.now();
  await inFlight(messages, 32, async () =>
    expectStatus(await entry.ask("/bench/default/cmd", { method: "POST", body: "x" }), 200),
  );
  const seconds = (performance.now() - started) / 1000;
  await eventually(5000, async () => {
    if (received < messages) throw new Error(`${received} of ${messages} messages arrived in ${folder}`);
  });
  await client.endAsync();
  return [{ name: "rest to eventbus, confirmed by the node", value: messages / seconds, unit: "/s" }];
}

/** How much more memory of their own the two processes take at their highest while a body of 64 MiB passes in each direction. */
async function measureMemory({ cloud, edge }: Pair, entry: Entry): Promise<Figure[]> {
  const pids = { cloudcore: cloud.cloud.pid, edgecore: edge.pid };
  const before = { cloudcore: anonymousMiB(pids.cloudcore), edgecore: anonymousMiB(pids.edgecore) };
  const most = { ...before };
  const timer = setInterval(() => {
    for (const name of ["cloudcore", "edgecore"] as const)
      most[name] = Math.max(most[name], anonymousMiB(pids[name]));
  }, 20);
  const started = performance.now();
  const up = await entry.ask("/bench/default/app/upload", { method: "PUT", body: payload });
  if ((await up.text()) !== String(payload.length)) throw new Error("the body did not arrive whole");
  const down = await entry.ask("/bench/default/app/download");
  if ((await down.bytes()).length !== payload.length) throw new Error("the response did not arrive whole");
  const seconds = (performance.now() - started) / 1000;
  clearInterval(timer);
  return [
    { name: "body of 64 MiB, up and down", value: (2 * 64) / seconds, unit: "MiB/s" },
    {
      name: "body of 64 MiB, more memory of cloudcore",
      value: most.cloudcore - before.cloudcore,
      unit: "MiB",
    },
    { name: "body of 64 MiB, more memory of edgecore", value: most.edgecore - before.edgecore, unit: "MiB" },
  ];
}

function anonymousMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

function expectStatus(response: Response, status: number): void {
  if (response.status !== status) throw new Error(`${response.url} answered ${response.status}`);
}
