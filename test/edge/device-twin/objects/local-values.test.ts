import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Device } from "#shared/kube";
import type { ApiAnswer, DesiredRequest } from "#shared/topics";
import { UnavailableError } from "#shared/errors";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { eventually } from "#internal/scripts/service.ts";
import { startHarness, thermo, thermoModel, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

type Answer = (request: DesiredRequest) => Promise<ApiAnswer<Device>>;

interface Node extends AsyncDisposable {
  readonly harness: Harness;
  readonly clock: FakeClock;
  /** What the cloud was sent, oldest first: value, what may be its base, age. */
  readonly asked: DesiredRequest[];
  answer: Answer;
  desire(value: string | null, uid?: string): Promise<boolean>;
  link(connected: boolean): Promise<void>;
  shown(): unknown;
  deltas(): unknown[];
}

let directory: ReturnType<typeof tempDir>;
let node: Node;

const device = (target: string, version = "570"): Device => thermo({ target }, version) as Device;
const away: Answer = () => Promise.reject(new UnavailableError("no-link", "there is no link"));
const taken =
  (target: string, version: string): Answer =>
  async () => ({ object: device(target, version) });

async function start(clock = new FakeClock()): Promise<Node> {
  const asked: DesiredRequest[] = [];
  const harness = await startHarness(directory.path, {}, clock);
  const port = harness.bus.port<"link.changed", "device.desire", never, "cloud.desired" | "cloud.members">(
    "t",
  );
  const self: Node = {
    harness,
    clock,
    asked,
    answer: away,
    desire: async (value, uid = "d") =>
      port.ask("device.desire", {
        namespace: "default",
        name: "thermo-1",
        uid,
        values: new Map([["target", value]]),
      }),
    link: (connected) => port.emit("link.changed", { connected, reason: "" }),
    shown: () =>
      (harness.twin.show(stored(harness)).spec?.properties ?? []).find(({ name }) => name === "target")
        ?.desired?.value ?? null,
    deltas: () => harness.take().flatMap(({ payload }) => payload["delta"] ?? []),
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  };
  port.answer("cloud.members", away as never);
  port.answer("cloud.desired", (request) => {
    asked.push(request);
    return self.answer(request);
  });
  return self;
}

function stored({ store }: Harness): Device {
  return JSON.parse(store.metas.find("default/device/thermo-1")?.value ?? "{}") as Device;
}

const rows = (): number => node.harness.store.metas.listByType("devicedesired").length;
const bases = (): unknown =>
  node.asked.at(-1)?.desired.values.map(({ value, bases: known }) => [value, known]);

beforeEach(async () => {
  directory = tempDir("local-values");
  node = await start();
  await node.harness.addDevice(thermoModel);
  await node.harness.addDevice(device("21"));
  node.harness.take();
});
afterEach(async () => {
  await node[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

test("a value is in the twin, shown and on disk at once, and the device gets the delta", async () => {
  expect(await node.desire("23.5")).toBe(true);
  expect([node.shown(), rows(), node.deltas()]).toEqual(["23.5", 1, [{ target: "23.5" }]]);
  expect(stored(node.harness).spec?.properties?.[0]?.desired?.value).toBe("21");
});

test("a value outlives the process, and the device does not get the old one", async () => {
  await node.desire("23.5");
  await node[Symbol.asyncDispose]();
  node = await start();
  expect([node.shown(), node.deltas()]).toEqual(["23.5", []]);
});

test("the cloud's own delivery does not bring the old value back while another is under way", async () => {
  await node.desire("23.5");
  node.harness.take();
  await node.harness.addDevice(device("21", "571"));
  await node.harness.addDevice(device("22", "572"));
  expect([node.shown(), node.deltas()]).toEqual(["23.5", []]);
});

test("what the cloud took is not under way any more, and its delivery changes nothing", async () => {
  node.answer = taken("23.5", "580");
  await node.link(true);
  await node.desire("23.5");
  await eventually(5000, async () => expect(rows()).toBe(0));
  node.harness.take();
  await node.harness.addDevice(device("23.5", "580"));
  expect([node.shown(), node.deltas(), stored(node.harness).metadata.resourceVersion]).toEqual([
    "23.5",
    [],
    "580",
  ]);
});

test("the cloud's value is in effect again when it is the newer one", async () => {
  await node.desire("23.5");
  node.harness.take();
  node.answer = taken("30", "580");
  await node.link(true);
  await eventually(5000, async () => expect(rows()).toBe(0));
  expect([node.shown(), node.deltas()]).toEqual(["30", [{ target: "30" }]]);
});

test("an answer that is older than what was delivered since does not bring old values back", async () => {
  await node.desire("23.5");
  node.answer = async () => {
    await node.harness.addDevice(device("31", "590"));
    return { object: device("23.5", "580") };
  };
  await node.link(true);
  await eventually(5000, async () => expect(rows()).toBe(0));
  expect([node.shown(), stored(node.harness).metadata.resourceVersion]).toEqual(["31", "590"]);
});

test("what is set while another is on its way follows it, and counts that as its own", async () => {
  await node.desire("22");
  node.answer = async () => {
    node.answer = taken("23", "581");
    await node.desire("23");
    return { object: device("22", "580") };
  };
  await node.link(true);
  await eventually(5000, async () => expect(rows()).toBe(0));
  expect(node.asked).toHaveLength(2);
  expect(bases()).toEqual([["23", ["21", "22"]]]);
  expect(node.shown()).toBe("23");
});

test("values that were never sent are no bases, those of another run may have been", async () => {
  await node.desire("22");
  await node.desire("23");
  await node[Symbol.asyncDispose]();
  node = await start();
  await node.desire("24");
  await node.link(true);
  await eventually(5000, async () => expect(bases()).toEqual([["24", ["21", "23"]]]));
});

test("a removal is set and sent like a value", async () => {
  await node.desire(null);
  expect(node.shown()).toBeNull();
  await node.link(true);
  await eventually(5000, async () => expect(bases()).toEqual([[null, ["21"]]]));
});

test("a cloud that cannot be asked is asked again", async () => {
  await node.link(true);
  await node.desire("22");
  await eventually(5000, async () => expect(node.asked).toHaveLength(1));
  node.answer = async () => ({ failure: { status: "Failure", code: 429, reason: "TooManyRequests" } });
  await node.clock.advance(2000);
  await eventually(5000, async () => expect(node.asked).toHaveLength(2));
  node.answer = taken("22", "580");
  await node.clock.advance(4000);
  await eventually(5000, async () => expect(rows()).toBe(0));
});

test.each([403, 422, 501])(
  "what the cloud refuses with %p is dropped, and an Event says so",
  async (code) => {
    await node.desire("22");
    node.answer = async () => ({ failure: { status: "Failure", code, message: "not like this" } });
    await node.link(true);
    await eventually(5000, async () => expect(rows()).toBe(0));
    expect(node.shown()).toBe("21");
    expect(node.harness.events.map(({ reason, message }) => [reason, message])).toEqual([
      ["DesiredValueDropped", "target: what was set on the node was dropped: not like this"],
    ]);
  },
);

test("ages are those of the kernel within a boot, and by the clock after another", async () => {
  await node.desire("22");
  await node.clock.advance(5000);
  await node.link(true);
  await eventually(5000, async () =>
    expect(node.asked.at(-1)?.desired.values).toMatchObject([{ ageMs: 5000, isByClock: false }]),
  );
  node.clock.boot = "boot-2";
  await node.link(false);
  await node.link(true);
  await eventually(5000, async () =>
    expect(node.asked.at(-1)?.desired.values).toMatchObject([{ ageMs: 5000, isByClock: true }]),
  );
});

test("another Device of the name inherits nothing", async () => {
  expect(await node.desire("22", "of-before")).toBe(false);
  await node.desire("22");
  const other = device("19", "600");
  await node.harness.addDevice({ ...other, metadata: { ...other.metadata, uid: "another" } });
  expect([node.shown(), rows()]).toEqual(["19", 0]);
});

test("more than a Device may keep is refused and leaves nothing behind", async () => {
  expect(await node.desire("x".repeat(70_000))).toBe(false);
  expect([node.shown(), rows()]).toEqual(["21", 0]);
});

test("a Device is shown with what its device reports, in the form of the cloud", async () => {
  const twin = { temperature: { actual: { value: "19.5" }, metadata: { type: "float" } } };
  await node.harness.send("$hw/events/device/thermo-1/twin/update", { event_id: "1", timestamp: 0, twin });
  await node.harness.send("$hw/events/device/thermo-1/state/update", { event_id: "2", state: "online" });
  const now = node.clock.nowMs();
  const metadata = { timestamp: String(now), type: "float" };
  const time = `${new Date(now).toISOString().slice(0, 19)}Z`;
  expect(node.harness.twin.show(stored(node.harness)).status).toEqual({
    twins: [
      { propertyName: "target", observedDesired: { value: "21", metadata } },
      { propertyName: "temperature", reported: { value: "19.5", metadata } },
    ],
    state: "online",
    lastOnlineTime: time,
    reportedTime: time,
  });
});
