import { expect, test } from "bun:test";
import { existsSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { openStore } from "#edge/store";
import { startHarness, thermo, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const member = { added_devices: [{ id: "d", name: "d" }] };
const topic = "$hw/events/device/d/twin/update";

async function report(node: Harness, value: number, qos: 0 | 1 = 0): Promise<void> {
  const text = JSON.stringify({ twin: { n: { actual: { value: `${value}` } } } });
  await node.bus
    .port<never, "mqtt.received">("test")
    .ask("mqtt.received", { topic, payload: Buffer.from(text), qos });
}

/** The values of a database as a start finds them, and those of its history. */
async function recovered(
  folder: string,
): Promise<{ readonly twin: unknown; readonly history: string[]; readonly reported: unknown }> {
  await using node = await startHarness(folder, { flushMs: 1000 });
  await node.send("$hw/events/device/d/twin/get", {});
  const answer = node.take().find(({ topic: at }) => at.endsWith("/twin/get/result"))?.payload["twin"];
  const content = node.outbox().at(-1)?.content;
  return {
    twin: (answer as { n?: { actual: { value: string } } }).n?.actual.value,
    history: node.store.telemetry
      .query({ deviceId: "d", name: "n", limit: 10_000 })
      .map(({ value }) => value),
    reported: (content as { twin: { n: { actual: { value: string } } } } | undefined)?.twin.n.actual.value,
  };
}

const upTo = (last: number): string[] => Array.from({ length: last }, (_, n) => `${n + 1}`);

/** A process of its own with broker and twins, whose devices report until it is killed. */
async function killed(folder: string, wanted: number): Promise<number> {
  const script = join(import.meta.dir, "devices-node.ts");
  const node = Bun.spawn([process.execPath, script, join(folder, "edge.db"), "1", "1000"]);
  const { value } = await node.stdout.getReader().read();
  const { port } = JSON.parse(new TextDecoder().decode(value)) as { port: number };
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 });
  client.on("error", () => undefined);
  await client.subscribeAsync("$hw/events/device/+/twin/update/result");
  const state = { answered: 0 };
  client.on("message", (_, payload) => {
    state.answered = Number((JSON.parse(payload.toString()) as { event_id: string }).event_id);
  });
  for (let n = 1; state.answered < wanted; n += 1) {
    const body = { event_id: `${n}`, twin: { n: { actual: { value: `${n}` } } } };
    client.publish("$hw/events/device/d0/twin/update", JSON.stringify(body), { qos: 0 });
    await Bun.sleep(1);
  }
  node.kill("SIGKILL");
  await node.exited;
  await client.endAsync(true);
  return state.answered;
}

test.each([[1], [400], [2500]])(
  "kill -9 takes no answered value of QoS 0, after %p of them",
  async (wanted) => {
    using dir = tempDir();
    const answered = await killed(dir.path, wanted);
    using store = openStore(join(dir.path, "edge.db"));
    const values = store.values.read().map(({ value }) => Number(value));
    expect(values.at(-1)).toBeGreaterThanOrEqual(answered);
    expect(values).toEqual(upTo(values.length).map(Number));
  },
);

test("a value of QoS 0 is answered before it is in the database, and stored with the others when edgecore ends", async () => {
  using dir = tempDir();
  {
    await using node = await startHarness(dir.path, { flushMs: 1000 });
    await node.deliver("membership", member);
    for (let n = 1; n <= 300; n += 1) await report(node, n);
    expect([...node.store.twins.each()]).toEqual([]);
    expect(node.take().at(-1)?.topic).toBe("$hw/events/device/d/twin/update/document");
    expect(
      node.store.telemetry.query({ deviceId: "d", name: "n", limit: 2 }).map(({ value }) => value),
    ).toEqual(["299", "300"]);
  }
  using store = openStore(join(dir.path, "edge.db"));
  expect([...store.twins.each()].map(({ actual, actualVersion }) => [actual, actualVersion])).toEqual([
    ["300", '{"cloud":0,"edge":300}'],
  ]);
  expect(store.values.read()).toEqual([]);
  expect(store.telemetry.query({ deviceId: "d", name: "n", limit: 1000 }).map(({ value }) => value)).toEqual(
    upTo(300),
  );
});

test("a value of QoS 1 is in the database when it is answered, with all of its history", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", member);
  for (let n = 1; n <= 9; n += 1) await report(node, n);
  await report(node, 10, 1);
  using other = openStore(join(dir.path, "edge.db"));
  expect([...other.twins.each()].map(({ actual }) => actual)).toEqual(["10"]);
  expect(other.telemetry.query({ deviceId: "d", name: "n", limit: 100 }).map(({ value }) => value)).toEqual(
    upTo(10),
  );
  expect(other.outbox.listAfter(0, 10).map(({ message }) => message.includes('"10"'))).toEqual([true]);
});

/** A copy of what is on disk while a node runs: what a loss of power leaves, with `cache` what the end of the process leaves. */
function copy(source: string, target: string, { cache }: { readonly cache: boolean }): void {
  for (const end of ["", "-wal", "-values", ...(cache ? ["-values-a", "-values-b"] : [])]) {
    const file = join(source, `edge.db${end}`);
    if (existsSync(file)) Bun.spawnSync(["cp", file, join(target, `edge.db${end}`)]);
  }
}

test("values of QoS 0 survive a loss of power when flush-ms has passed, and the end of edgecore at once", async () => {
  using dir = tempDir();
  using power = tempDir();
  using process = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, { flushMs: 1000 }, clock);
  await node.deliver("membership", member);
  for (let n = 1; n <= 50; n += 1) await report(node, n);
  await clock.advance(1000);
  await node.store.values.idle();
  for (let n = 51; n <= 60; n += 1) await report(node, n);
  copy(dir.path, power.path, { cache: false });
  copy(dir.path, process.path, { cache: true });
  expect(await recovered(power.path)).toEqual({ twin: "50", history: upTo(50), reported: "50" });
  expect(await recovered(process.path)).toEqual({ twin: "60", history: upTo(60), reported: "60" });
});

test("what was recovered is recovered once", async () => {
  using dir = tempDir();
  using first = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", member);
  for (let n = 1; n <= 20; n += 1) await report(node, n);
  copy(dir.path, first.path, { cache: true });
  await recovered(first.path);
  expect((await recovered(first.path)).history).toEqual(upTo(20));
});

test("a journal that was torn at any byte gives the values before the tear", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", member);
  for (let n = 1; n <= 30; n += 1) await report(node, n);
  const size = statSync(join(dir.path, "edge.db-values-a")).size;
  for (const bytes of [size - 1, Math.floor(size / 2), 21, 0]) {
    using torn = tempDir();
    copy(dir.path, torn.path, { cache: true });
    truncateSync(join(torn.path, "edge.db-values-a"), bytes);
    const { history } = await recovered(torn.path);
    expect(history).toEqual(upTo(history.length));
    expect(history.length).toBe(bytes === size - 1 ? 29 : history.length);
  }
});

test("a device that was removed leaves no values to a later one of its name", async () => {
  using dir = tempDir();
  using after = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", member);
  await report(node, 1);
  await node.deliver("membership", { removed_devices: [{ id: "d", name: "d" }] });
  await node.deliver("membership", member);
  copy(dir.path, after.path, { cache: true });
  expect(await recovered(after.path)).toMatchObject({ twin: undefined, history: [] });
});

/** The device with these properties and no model. */
function listing(names: readonly string[], version: string): object {
  const { metadata, spec, ...rest } = thermo({}, version) as {
    readonly metadata: object;
    readonly spec: object;
  };
  const properties = names.map((name) => ({ name }));
  return {
    ...rest,
    metadata: { ...metadata, name: "d" },
    spec: { ...spec, deviceModelRef: undefined, properties },
  };
}

test("a property that was removed leaves no values, and a later one of its name loses none", async () => {
  using dir = tempDir();
  using removed = tempDir();
  using again = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.addDevice(listing(["n", "m"], "1"));
  for (let n = 1; n <= 50; n += 1) await report(node, n);
  await node.addDevice(listing(["m"], "2"));
  copy(dir.path, removed.path, { cache: true });
  await node.addDevice(listing(["n", "m"], "3"));
  for (let n = 101; n <= 103; n += 1) await report(node, n);
  copy(dir.path, again.path, { cache: true });
  {
    using store = openStore(join(removed.path, "edge.db"));
    expect([store.values.read(), [...store.twins.each()]]).toEqual([[], []]);
  }
  const { twin, history, reported } = await recovered(again.path);
  expect({ twin, newest: history.slice(-3), reported }).toEqual({
    twin: "103",
    newest: ["101", "102", "103"],
    reported: "103",
  });
});

test("values are recovered also when the first thing of a database was a removal", async () => {
  using dir = tempDir();
  using after = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", { added_devices: [{ id: "e", name: "e" }] });
  await node.deliver("membership", { removed_devices: [{ id: "e", name: "e" }] });
  await node.deliver("membership", member);
  await report(node, 1);
  copy(dir.path, after.path, { cache: true });
  expect((await recovered(after.path)).twin).toBe("1");
});

test("a twin that was removed by its client leaves no values either", async () => {
  using dir = tempDir();
  using after = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", member);
  for (let n = 1; n <= 5; n += 1) await report(node, n);
  await node.send(topic, { twin: { n: { metadata: { type: "deleted" } } } });
  copy(dir.path, after.path, { cache: true });
  expect((await recovered(after.path)).twin).toBe(undefined);
});

test("values of other properties that come with the removal are recovered with their history", async () => {
  using dir = tempDir();
  using after = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.addDevice(listing(["n", "m"], "1"));
  const other = `{"twin":{"m":{"actual":{"value":"1"}}}}`;
  await node.send("$hw/events/device/d/twin/update", other);
  await report(node, 1);
  await Promise.all([node.addDevice(listing(["n"], "2")), report(node, 2)]);
  copy(dir.path, after.path, { cache: true });
  const { twin, history } = await recovered(after.path);
  expect({ twin, history }).toEqual({ twin: "2", history: upTo(2) });
});

test("values of QoS 0 go to the database when the journal cannot be written", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", member);
  Object.assign(node.store.values, {
    append: () => {
      throw new Error("no space left on the device");
    },
  });
  await report(node, 7);
  expect([...node.store.twins.each()].map(({ actual }) => actual)).toEqual(["7"]);
  expect(node.store.outbox.listAfter(0, 10).length).toBe(1);
});

const full = (): never => {
  throw new Error("database or disk is full");
};

const outcomeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "confirmed",
    () => "refused",
  );

test.each([[0], [1], [2]])(
  "an upload and a value that come together are answered as they are on disk, when it takes %p transactions",
  async (most) => {
    using dir = tempDir();
    await using node = await startHarness(dir.path, { flushMs: 1000 });
    await node.deliver("membership", member);
    const { transaction } = node.store;
    let taken = 0;
    Object.assign(node.store, {
      transaction: (work: () => unknown) => ((taken += 1) > most ? full() : transaction(work)),
    });
    Object.assign(node.store.values, { append: full });
    const upload = outcomeOf(node.send("$ke/events/d/upload", { a: 1 }));
    const value = outcomeOf(report(node, 1));
    expect([await upload, await value]).toEqual([most === 0 ? "refused" : "confirmed", "confirmed"]);
    const { published, store, outbox } = node;
    const isUpload = (entry: object): boolean => JSON.stringify(entry).includes("/upload");
    expect(outbox().filter(isUpload).length).toBe(most === 0 ? 0 : 1);
    expect([...store.twins.each()].length).toBe(most === 0 ? 0 : 1);
    expect(published.some(({ topic: at }) => at.endsWith("/twin/update/document"))).toBe(most > 0);
  },
);

test("a value whose commit failed is not in the journal, and does not hide the next one", async () => {
  using dir = tempDir();
  using failed = tempDir();
  using after = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", member);
  for (let n = 1; n <= 4; n += 1) await report(node, n);
  const { transaction } = node.store;
  Object.assign(node.store, { transaction: full });
  await Promise.all([outcomeOf(node.send("$ke/events/d/upload", { a: 1 })), outcomeOf(report(node, 5))]);
  Object.assign(node.store, { transaction });
  copy(dir.path, failed.path, { cache: true });
  await report(node, 6);
  copy(dir.path, after.path, { cache: true });
  expect(await recovered(failed.path)).toMatchObject({ twin: "4", history: upTo(4) });
  expect(await recovered(after.path)).toMatchObject({ twin: "6", history: [...upTo(4), "6"] });
});

test("values are refused while the journal is full and the database takes none, and taken again when it does", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, { flushMs: 1000 }, clock);
  await node.deliver("membership", member);
  await report(node, 1);
  const { transaction } = node.store;
  let attempts = 0;
  const refuse = (): never => {
    attempts += 1;
    return full();
  };
  Object.assign(node.store, { transaction: refuse });
  Object.defineProperty(node.store.values, "isFull", { value: true });
  for (let n = 2; n <= 50; n += 1) await report(node, n);
  expect(attempts).toBe(1);
  expect(node.store.telemetry.pendingPoints).toBe(2);
  node.take();
  await report(node, 51);
  expect(node.take().map(({ topic: at }) => at)).not.toContain("$hw/events/device/d/twin/update/document");
  await clock.advance(5000);
  expect(attempts).toBe(2);
  Object.assign(node.store, { transaction });
  await clock.advance(5000);
  await report(node, 52);
  expect([...node.store.twins.each()].map(({ actual }) => actual)).toEqual(["52"]);
});

test("a node whose journal is lost starts with what the database has", async () => {
  using dir = tempDir();
  using other = tempDir();
  await using node = await startHarness(dir.path, { flushMs: 1000 });
  await node.deliver("membership", member);
  await report(node, 1, 1);
  await report(node, 2);
  copy(dir.path, other.path, { cache: true });
  for (const end of ["-values", "-values-a", "-values-b"])
    rmSync(join(other.path, `edge.db${end}`), { force: true });
  expect((await recovered(other.path)).twin).toBe("1");
});
