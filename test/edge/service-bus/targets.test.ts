import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { UnavailableError } from "#shared/errors";
import type { TargetCall } from "#shared/topics";
import { eventually } from "#internal/test/edge/edge-hub/hub-harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus, targetRule, type BusWorld } from "./bus-harness.ts";

const targetUrl = "http://cloud.example/echo";

interface Answer {
  readonly code: number;
  readonly msg: string;
  readonly body: string;
}

/** Posts as a program on the node does. */
async function post(bus: BusWorld, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${bus.ports.at(-1) ?? 0}/`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

async function call(bus: BusWorld, body: unknown): Promise<Answer> {
  const response = await post(bus, body);
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

async function withTarget(folder?: string): Promise<BusWorld> {
  const bus = await startBus({}, folder);
  for (const object of targetRule(targetUrl)) await bus.deliver(object);
  return bus;
}

test("a program reaches a target that a rule names, and gets its answer as KubeEdge gives it", async () => {
  await using bus = await withTarget();
  const taken: TargetCall[] = [];
  bus.target = async (one) => {
    taken.push(one);
    return { ok: true, text: '{"echo":1}' };
  };
  const request = { method: "POST", targetURL: targetUrl, payload: { a: 1 } };
  expect(await call(bus, request)).toEqual({
    code: 200,
    msg: "receive response from cloud successfully",
    body: '{"echo":1}',
  });
  expect(taken.map((one) => [one.targetUrl, JSON.parse(Buffer.from(one.payload).toString())])).toEqual([
    [targetUrl, request],
  ]);
});

test("a program learns why there is no answer", async () => {
  await using bus = await withTarget();
  const request = { method: "POST", targetURL: targetUrl, payload: {} };
  bus.target = async () => ({ ok: false, reason: "the target answered 500" });
  expect(await call(bus, request)).toEqual({ code: 500, msg: "the target answered 500", body: "" });
  bus.target = () => Promise.reject(new UnavailableError("no-link", "Cannot ask the cloud: no link"));
  expect(await call(bus, request)).toEqual({ code: 503, msg: "Cannot ask the cloud: no link", body: "" });
  bus.target = () => Promise.reject(new UnavailableError("timeout", "no answer within 5000 ms"));
  expect(await call(bus, request)).toMatchObject({ code: 504 });
  expect(await call(bus, { ...request, targetURL: "http://other.example" })).toEqual({
    code: 400,
    msg: 'no Rule for this node has the target_url "http://other.example"',
    body: "",
  });
  expect([await call(bus, "{"), await call(bus, "[]")]).toMatchObject([{ code: 400 }, { code: 400 }]);
});

test("a web page cannot call targets", async () => {
  await using bus = await withTarget();
  let calls = 0;
  bus.target = async () => {
    calls += 1;
    return { ok: true, text: "" };
  };
  const request = { method: "POST", targetURL: targetUrl, payload: {} };
  const statuses = [
    await post(bus, request, { origin: "https://evil.example" }),
    await post(bus, request, { "sec-fetch-site": "cross-site" }),
    await post(bus, request, { "content-type": "text/plain" }),
    await post(bus, request, { host: "evil.example" }),
  ].map(({ status }) => status);
  expect([statuses, calls]).toEqual([[403, 403, 415, 403], 0]);
});

test("it listens while a rule for this node names a target, also after a restart", async () => {
  using dir = tempDir("service-bus");
  {
    await using bus = await startBus({}, dir.path);
    for (const object of targetRule(targetUrl, "another-node")) await bus.deliver(object);
    expect(bus.ports).toEqual([]);
    for (const object of targetRule(targetUrl)) await bus.deliver(object, "update");
    expect(bus.ports).toHaveLength(1);
  }
  await using bus = await startBus({}, dir.path);
  expect(await call(bus, { targetURL: targetUrl })).toMatchObject({ code: 200 });
  const [, , rule] = targetRule(targetUrl);
  if (rule) await bus.deliver(rule, "delete");
  await eventually("the end of the server", () => bus.ports.length === 1);
  const outcome = await post(bus, {}).then(
    () => "answered",
    () => "refused",
  );
  expect(outcome).toBe("refused");
});

test("a target that KubeEdge's cloud starts is kept over a restart, and stops under the name it gives it then", async () => {
  using dir = tempDir("service-bus");
  {
    await using bus = await startBus({}, dir.path);
    await bus.started(targetUrl, true);
  }
  await using bus = await startBus({}, dir.path);
  expect(await call(bus, { targetURL: targetUrl })).toMatchObject({ code: 200 });
  await bus.started("http://cloud.example/other", true);
  await bus.started("http:/cloud.example/echo", false);
  expect(await call(bus, { targetURL: targetUrl })).toMatchObject({ code: 400 });
});

test("a port in use is reported and does not stop edgecore", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => void taken.listen(0, "127.0.0.1", resolve));
  const place = taken.address();
  const port = typeof place === "object" && place ? place.port : 0;
  await using bus = await startBus({ port });
  for (const object of targetRule(targetUrl)) await bus.deliver(object);
  const line = bus.log.lines.find((one) => one.includes("cannot call targets of rules"));
  expect(line).toContain("service-bus.port names another");
  taken.close();
});

test("1,000 programs at once are answered or refused, and none waits for ever", async () => {
  await using bus = await withTarget();
  const release = Promise.withResolvers<void>();
  let waiting = 0;
  bus.target = async () => {
    waiting += 1;
    await release.promise;
    return { ok: true, text: "" };
  };
  const all = Array.from({ length: 1000 }, () =>
    call(bus, { targetURL: targetUrl }).then(
      ({ code }) => code,
      () => 0,
    ),
  );
  await eventually("waiting programs", () => waiting > 100);
  release.resolve();
  const codes = new Set(await Promise.all(all));
  expect([codes.has(200), [...codes].every((code) => [0, 200, 503].includes(code)), waiting <= 1000]).toEqual(
    [true, true, true],
  );
});
