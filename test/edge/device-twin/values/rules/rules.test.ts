import { expect, test } from "bun:test";
import {
  startRulesNode,
  devices,
  thermostat,
  type RulesNode,
} from "#internal/test/edge/device-twin/values/rules/rules-harness.ts";
import { nextTurn } from "#shared/clock";
import { eventually } from "#internal/scripts/service.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

async function ready(path: string, clock: FakeClock, config = {}): Promise<RulesNode> {
  const rules = await startRulesNode(path, clock, config);
  for (const device of devices) await rules.node.addDevice(device);
  return rules;
}

/** Lets what follows from a report happen: commits and actions take turns of the event loop, no time. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
}

function commands({ node }: RulesNode): string[] {
  return node.published
    .splice(0)
    .filter(({ topic }) => !topic.startsWith("$"))
    .map(({ topic, payload }) => `${topic} ${Buffer.from(payload).toString()}`);
}

test("a thermostat works without a cloud, with hysteresis", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock);
  await rules.rule("heat", thermostat);
  const sent: string[][] = [];
  for (const temp of ["20", "18.5", "18", "20", "21", "21.5", "20", "18"]) {
    await rules.node.send("thermo/temp", temp);
    await settled();
    await clock.advance(2000);
    await settled();
    sent.push(commands(rules));
  }
  expect(sent).toEqual([[], ["heater/set true"], [], [], [], ["heater/set false"], [], ["heater/set true"]]);
  expect(rules.desired("heater", "on")).toBe("true");
  await clock.advance(10_000);
  expect(rules.status("heat")).toMatchObject({ state: "Active", holds: true, runs: 3, failures: 0 });
});

test("conditions have to hold for a time", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock);
  await rules.rule("heat", { ...thermostat, for: "30s" });
  await rules.node.send("thermo/temp", "18");
  await clock.advance(20_000);
  await rules.node.send("thermo/temp", "22");
  await clock.advance(60_000);
  await settled();
  expect(commands(rules)).toEqual([]);
  await rules.node.send("thermo/temp", "18");
  await settled();
  await clock.advance(30_000);
  await settled();
  expect(commands(rules)).toEqual(["heater/set true"]);
});

test("nothing is done before every condition has a value, and all of them have to hold", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock);
  await rules.rule("heat", {
    when: [
      { device: "thermo", property: "temp", expression: "value < 19" },
      { device: "heater", expression: 'value == "online"' },
    ],
    then: [{ publish: { topic: "alarm", payload: "cold" } }],
  });
  await rules.node.send("thermo/temp", "18");
  await clock.advance(10_000);
  expect(commands(rules)).toEqual([]);
  expect(rules.status("heat")).toMatchObject({ state: "Waiting", waitingFor: ["the state of heater"] });
  await rules.node.send("heater/lwt", "offline");
  await settled();
  expect(commands(rules)).toEqual([]);
  await rules.node.send("heater/lwt", "online");
  await settled();
  expect(commands(rules)).toEqual(["alarm cold"]);
});

test("rules that set what they watch are slowed down and reported", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock);
  const flip = (value: string, then: string): object => ({
    when: [{ device: "heater", property: "on", expression: `value == "${value}"` }],
    then: [{ publish: { topic: "heater/state", payload: then } }],
    minInterval: "1ms",
  });
  await rules.rule("a", flip("x", "y"));
  await rules.rule("b", flip("y", "x"));
  let loops = 0;
  await rules.node.send("heater/state", "x");
  for (let round = 0; round < 200; round += 1) {
    await settled();
    // The broker brings what the rules publish back to the devices.
    for (const command of commands(rules)) {
      loops += 1;
      await rules.node.send("heater/state", command.split(" ")[1] ?? "");
    }
    await clock.advance(10);
  }
  expect(loops).toBeLessThan(70);
  expect(rules.rules.counts().suppressed).toBeGreaterThan(0);
  expect(rules.node.events.map(({ reason }) => reason)).toContain("DeviceRuleSuppressed");
});

test("a dry run is counted and does nothing", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock);
  await rules.rule("heat", { ...thermostat, dryRun: true });
  await rules.node.send("thermo/temp", "18");
  await settled();
  await clock.advance(10_000);
  expect(commands(rules)).toEqual([]);
  expect(rules.status("heat")).toMatchObject({ holds: true, runs: 0, dryRuns: 1 });
});

test("an action that fails is counted and an Event, and the others are done", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock);
  await rules.rule("heat", {
    ...thermostat,
    then: [
      { set: { device: "nobody", property: "on", value: "1" } },
      { publish: { topic: "alarm", payload: "cold" } },
    ],
  });
  await rules.node.send("thermo/temp", "18");
  await settled();
  await clock.advance(10_000);
  expect(commands(rules)).toEqual(["alarm cold"]);
  expect(rules.status("heat")).toMatchObject({
    failures: 1,
    lastError: "set: device default/nobody is not on this node",
  });
  expect(rules.node.events).toMatchObject([
    { reason: "DeviceRuleFailed", involvedObject: { kind: "DeviceRule", name: "heat" } },
  ]);
});

test("only allowed local servers are called, and never edgecore itself", async () => {
  using dir = tempDir();
  const calls: string[] = [];
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      calls.push(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`);
      return new URL(request.url).pathname === "/moved"
        ? new Response(null, { status: 302, headers: { location: "http://127.0.0.1:1/" } })
        : new Response("ok");
    },
  });
  const port = server.port ?? 0;
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock, { allowedPorts: [port, 1], ownPorts: [1] });
  const call = (url: string): object => ({ ...thermostat, then: [{ http: { url, body: "cold" } }] });
  await rules.rule("ok", call(`http://127.0.0.1:${port}/alarm`));
  await rules.rule("moved", call(`http://127.0.0.1:${port}/moved`));
  await rules.rule("own", call("http://127.0.0.1:1/"));
  await rules.rule("other", call("http://127.0.0.1:2/"));
  await rules.node.send("thermo/temp", "18");
  while (Object.values(rules.rules.counts()).reduce((sum, one) => sum + one, 0) < 7) await Bun.sleep(5);
  expect(calls.toSorted()).toEqual(["POST /alarm cold", "POST /moved cold"]);
  await clock.advance(10_000);
  expect(rules.status("own")).toMatchObject({ lastError: "http: port 1 is one of edgecore's own" });
  expect(rules.status("other")).toMatchObject({
    lastError: "http: port 2 is not in service-bus.allowed-ports",
  });
  expect(rules.status("moved")).toMatchObject({ failures: 1 });
  expect(rules.status("ok")).toMatchObject({ failures: 0, runs: 1 });
});

test("after a restart a rule runs only for what has changed", async () => {
  using dir = tempDir();
  {
    await using rules = await ready(dir.path, new FakeClock());
    await rules.rule("heat", thermostat);
    await rules.node.send("thermo/temp", "18");
    await settled();
    expect(commands(rules)).toEqual(["heater/set true"]);
  }
  const clock = new FakeClock();
  await using again = await startRulesNode(dir.path, clock);
  await settled();
  await again.node.send("thermo/temp", "20");
  await settled();
  expect(commands(again)).toEqual([]);
  await again.node.send("thermo/temp", "22");
  await settled();
  expect(commands(again)).toEqual(["heater/set false"]);
  expect(again.rules.counts().runs).toBe(2);
});

test("a rule that is removed or suspended does nothing", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock);
  await rules.rule("heat", thermostat);
  await rules.rule("heat", undefined);
  await rules.rule("held", { ...thermostat, suspend: true });
  await rules.node.send("thermo/temp", "18");
  await settled();
  expect(commands(rules)).toEqual([]);
});

test("a rule that is made again begins with what the device reported meanwhile", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using rules = await ready(dir.path, clock);
  await rules.rule("heat", thermostat);
  await rules.node.send("thermo/temp", "18");
  await settled();
  expect(commands(rules)).toEqual(["heater/set true"]);
  await rules.rule("heat", undefined);
  await rules.node.send("thermo/temp", "25");
  await settled();
  await rules.rule("heat", { ...thermostat, then: [{ publish: { topic: "alarm", payload: "cold" } }] });
  await clock.advance(10_000);
  await settled();
  expect(commands(rules)).toEqual([]);
});

test("a rule that was removed during its run leaves nothing behind", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<Response>();
  await using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => {
      asked.resolve();
      return answer.promise;
    },
  });
  const port = server.port ?? 0;
  await using rules = await ready(dir.path, clock, { allowedPorts: [port] });
  await rules.rule("call", {
    when: [{ device: "thermo", property: "temp", expression: "value < 19" }],
    then: [{ http: { url: `http://127.0.0.1:${port}/`, method: "GET" } }],
  });
  await rules.node.send("thermo/temp", "18");
  await asked.promise;
  await rules.rule("call", undefined);
  answer.resolve(new Response(null));
  await eventually(5_000, () => Promise.resolve(expect(server.pendingRequests).toBe(0)));
  await settled();
  expect(rules.node.store.metas.listByType("devicerulememory")).toEqual([]);
});
