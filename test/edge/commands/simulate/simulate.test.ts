import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { thermostatObjects } from "#edge/commands/simulate";
import { freePorts } from "#internal/scripts/service.ts";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { validateDevice, validateDeviceModel, type Device, type DeviceModel } from "#shared/kube";

const main = join(import.meta.dir, "../../../../edge/main.ts");
let dir: ReturnType<typeof tempDir>;
beforeAll(() => void (dir = tempDir("simulate")));
afterAll(() => dir[Symbol.dispose]());

type Simulator = Bun.Subprocess<"ignore", "pipe", "pipe"> & AsyncDisposable;

function start(words: readonly string[], env: Record<string, string> = {}): Simulator {
  return Bun.spawn([process.execPath, main, "simulate", ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
}

async function outcome(words: readonly string[], env?: Record<string, string>): Promise<unknown[]> {
  const child = start(words, env);
  return [await child.exited, await new Response(child.stderr).text()];
}

/** Reads a stream until it has `text`. */
async function heard(stream: ReadableStream<Uint8Array>, text: string): Promise<string> {
  let all = "";
  for await (const chunk of stream) {
    all += new TextDecoder().decode(chunk);
    if (all.includes(text)) return all;
  }
  throw new Error(`ended without ${text}: ${all}`);
}

function place(name: string): string {
  const path = join(dir.path, name);
  mkdirSync(path);
  return path;
}

const topic = (rest: string, id = "thermo-1"): string => `$hw/events/device/${id}/twin/${rest}`;

test.each([
  [["--devices", "abc"], '--devices: expected a whole number from 1 to 100000, got "abc"'],
  [["--devces", "1"], 'unknown flag "--devces", did you mean --devices?'],
  [["--interval", "0"], '--interval: expected a whole number from 10 to 3600000, got "0"'],
  [
    ["--broker", "mqtt://ann:secret@127.0.0.1:70000"],
    '--broker: expected a URL such as mqtt://127.0.0.1:1884, got "mqtt://…@127.0.0.1:70000"',
  ],
  [["--broker", "localhost"], '--broker: expected a URL such as mqtt://127.0.0.1:1884, got "localhost"'],
  [
    ["--prefix", "a/b"],
    '--prefix: expected the start of a Device\'s name (lower-case letters, digits, "-" and "."), got "a/b"',
  ],
  [["--apply"], "--apply needs --node NAME, the node whose broker this is"],
  [["--node", "n"], "--node and --kubeconfig need --apply"],
])("simulator refuses %j with one sentence", async (words, why) => {
  expect(await outcome(words)).toEqual([2, `edgecore: ${why} (see edgecore simulate --help)\n`]);
});

test("simulator explains in its help that Devices have to exist", async () => {
  const child = start(["--help"]);
  expect(await new Response(child.stdout).text()).toContain("Devices of those names have to exist");
});

test("simulator reports a set-point in the words it was asked in, and fails when all was refused", async () => {
  await using edge = await startBus(place("target"));
  const twins = await edge.connect();
  const reports = collect(twins);
  await twins.subscribeAsync(topic("update"), { qos: 1 });
  const words = ["--broker", `mqtt://127.0.0.1:${edge.bus.mqttPort}`, "--devices", "1", "--interval", "20"];
  await using child = start(words);
  const [first] = await reports.count(1);
  expect(first?.text).toContain('"target":{"actual":{"value":"21"}');
  for (const reason of ["unknown here", "unknown still"])
    await twins.publishAsync(topic("update/result"), JSON.stringify({ code: 404, reason }), { qos: 1 });
  await twins.publishAsync(topic("update/delta"), JSON.stringify({ delta: { target: "19.50" } }), { qos: 1 });
  await heard(child.stdout, "set to 19.50");
  const next = (await reports.count(reports.all.length + 2)).at(-1);
  expect(next?.text).toContain('"target":{"actual":{"value":"19.50"}');
  child.kill("SIGTERM");
  expect(await new Response(child.stderr).text()).toEqual(
    expect.stringMatching(
      /^thermo-1: the first report refused: 404 unknown here; a Device "thermo-1" has to exist on the node of this broker: --apply --node NAME makes it\nedgecore: Cannot simulate: every report was refused \(2 of \d+\)\n$/,
    ),
  );
  expect(await child.exited).toBe(1);
});

test("simulator reports an unreachable broker once and connects when it is up", async () => {
  const [port = 0] = freePorts(1);
  await using child = start(["--broker", `mqtt://u:secret@127.0.0.1:${port}`, "--interval", "20"]);
  const reader = child.stderr.getReader();
  const reported = new TextDecoder().decode((await reader.read()).value);
  expect(reported).toBe(
    `mqtt://127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port}; trying again every second\n`,
  );
  await using edge = await startBus(place("late"), {
    broker: { url: `tcp://127.0.0.1:${port}` },
  });
  expect(edge.bus.mqttPort).toBe(port);
  expect(new TextDecoder().decode((await reader.read()).value)).toBe(`mqtt://127.0.0.1:${port}: connected\n`);
  child.kill("SIGTERM");
  await child.exited;
});

test("simulator fails when it never connected", async () => {
  const words = ["--broker", "tcp://127.0.0.1:1", "--seconds", "1"];
  const [code, text] = await outcome(words);
  expect([code, text]).toEqual([
    1,
    expect.stringMatching(/\nedgecore: Cannot simulate: no connection to tcp:\/\/127.0.0.1:1\n$/),
  ]);
});

test("simulator fails when nobody answers its reports", async () => {
  await using edge = await startBus(place("deaf"));
  const broker = `tcp://127.0.0.1:${edge.bus.mqttPort}`;
  const words = ["--broker", broker, "--devices", "1", "--interval", "300", "--seconds", "1"];
  expect(await outcome(words)).toEqual([
    1,
    expect.stringMatching(
      /^edgecore: Cannot simulate: none of \d reports was answered; is edgecore behind \S+\?\n$/,
    ),
  ]);
});

/** A kubectl that records its arguments and input. */
function fakeKubectl(
  name: string,
  lines: string,
): { readonly env: Record<string, string>; readonly at: string } {
  const at = place(name);
  writeFileSync(join(at, "kubectl"), `#!/bin/sh\ncd ${at}\n${lines}\n`, { mode: 0o755 });
  return { at, env: { PATH: `${at}:${process.env["PATH"] ?? ""}` } };
}

test("simulator writes the Devices and waits until the node knows them with --apply", async () => {
  const { at, env } = fakeKubectl("kubectl", 'echo "$@" > words; cat > objects');
  await using edge = await startBus(place("apply"));
  const twins = await edge.connect();
  const seen = collect(twins);
  await twins.subscribeAsync([topic("get", "t-3"), topic("update", "t-1")], { qos: 1 });
  const broker = ["--broker", `mqtt://127.0.0.1:${edge.bus.mqttPort}`, "--interval", "20"];
  const apply = ["--apply", "--node", "edge-7", "--kubeconfig", "/k"];
  await using child = start([...broker, "--devices", "3", "--prefix", "t-", ...apply], env);
  await seen.count(1);
  await twins.publishAsync(topic("get/result", "t-3"), JSON.stringify({ code: 404, reason: "not yet" }));
  await seen.count(2);
  expect(seen.all.every((one) => one.topic === topic("get", "t-3"))).toBe(true);
  await twins.publishAsync(topic("get/result", "t-3"), JSON.stringify({ twin: {} }));
  while (!seen.all.some((one) => one.topic === topic("update", "t-1"))) await seen.count(seen.all.length + 1);
  await twins.publishAsync(topic("update/result", "t-1"), JSON.stringify({ twin: {} }), { qos: 1 });
  await twins.publishAsync(topic("update/delta", "t-1"), JSON.stringify({ delta: { target: "9" } }), {
    qos: 1,
  });
  await heard(child.stdout, "set to 9");
  child.kill("SIGTERM");
  expect([await child.exited, await new Response(child.stderr).text()]).toEqual([0, ""]);
  expect(readFileSync(join(at, "words"), "utf8")).toBe("--kubeconfig /k apply -f -\n");
  const { items } = JSON.parse(readFileSync(join(at, "objects"), "utf8")) as { items: object[] };
  expect(items).toEqual(thermostatObjects({ names: ["t-1", "t-2", "t-3"], node: "edge-7" }));
});

test("simulator ends with the message of kubectl when it cannot apply", async () => {
  const { env } = fakeKubectl("broken", "echo no such cluster >&2; exit 1");
  expect(await outcome(["--apply", "--node", "n"], env)).toEqual([
    1,
    "edgecore: kubectl apply failed: no such cluster\n",
  ]);
});

test("thermostats are valid Devices of the node", () => {
  const [model, ...devices] = thermostatObjects({ names: ["a", "b"], node: "n" });
  expect(validateDeviceModel(model as DeviceModel)).toEqual([]);
  expect(devices.flatMap((device) => validateDevice(device as Device, model as DeviceModel))).toEqual([]);
  expect(devices.map((device) => (device as Device).spec?.nodeName)).toEqual(["n", "n"]);
});
