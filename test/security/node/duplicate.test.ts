import { expect, test } from "bun:test";
import { join } from "node:path";
import { resources } from "#cloud/kube-client";
import { startEdgeHub } from "#edge/edge-hub";
import { openStore } from "#edge/store";
import { Bus } from "#shared/bus";
import { systemClock, type Clock } from "#shared/clock";
import type { Event } from "#shared/kube";
import type { EdgeCatalog } from "#shared/topics";
import { closeCodes } from "#shared/wire";
import { startCutProxy } from "#internal/test/support/machine/cut-proxy.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { ScriptedCloud } from "#internal/test/edge/edge-hub/scripted-cloud.ts";
import { dial, eventually, joinNode, startClouds, type Clouds } from "./joining.ts";

async function events(clouds: Clouds): Promise<readonly Event[]> {
  const { items } = await clouds.kube.list<Event>(resources.events, { namespace: "default" });
  return items.filter(({ reason }) => reason === "DuplicateNode");
}

test.each([
  ["other databases", "db-a", "db-b"],
  ["the same database, as after a copied disk", "db-a", "db-a"],
  ["no name of a database, as KubeEdge's", undefined, undefined],
])(
  "the older of two edgecores with one certificate and %s is closed with the reason, and an Event is recorded",
  async (_what, first, second) => {
    await using clouds = await startClouds();
    const pair = await joinNode(clouds, "edge-1");
    const open = async (database: string | undefined): Promise<ReturnType<typeof dial>> => {
      const dialed = dial(clouds.door, "edge-1", pair, database === undefined ? {} : { database });
      expect(await dialed.outcome).toBe("open");
      return dialed;
    };
    using older = await open(first);
    using newer = await open(second);
    expect(await older.closed).toEqual({
      code: closeCodes.duplicate,
      reason: expect.stringMatching(/^another edgecore connected as "edge-1" from 127\.0\.0\.1:\d+$/),
    });
    await eventually(async () => (await events(clouds)).length === 1 || "no Event");
    // They go on evicting each other: one Event reports it.
    using _again = await open(first);
    expect((await newer.closed).code).toBe(closeCodes.duplicate);
    const [event, ...more] = await events(clouds);
    expect([event?.involvedObject.name, event?.type, more]).toEqual(["edge-1", "Warning", []]);
    expect(event?.message).toContain(`another edgecore connected as "edge-1"`);
    expect(event?.message).toContain("cloudcore node ban edge-1");
  },
);

test("an edgecore that reconnects after its link was cut silently is not a duplicate", async () => {
  await using clouds = await startClouds();
  await using link = await startCutProxy(clouds.door.hub.port);
  const pair = await joinNode(clouds, "edge-1");
  using before = dial(clouds.door, "edge-1", pair, { port: link.port });
  expect(await before.outcome).toBe("open");
  link.stall();
  using after = dial(clouds.door, "edge-1", pair);
  expect(await after.outcome).toBe("open");
  link.cut();
  expect((await before.closed).code).not.toBe(closeCodes.duplicate);
  after.socket.terminate();
  await clouds.door.hub[Symbol.asyncDispose]();
  expect(await events(clouds)).toEqual([]);
});

/** The machine's clock, which writes down for how long somebody waits. */
function notingClock(waits: number[]): Clock {
  return {
    ...systemClock,
    after: (ms, run) => {
      waits.push(ms);
      // Nobody waits for half a minute in a test.
      return systemClock.after(ms >= 20_000 ? 1 : ms, run);
    },
  };
}

test.each([
  [
    "another edgecore took its place",
    closeCodes.duplicate,
    [30_000, 60_000, 120_000],
    "another edgecore runs under the name",
  ],
  ["it is banned", closeCodes.refused, [60_000, 60_000, 60_000], "refuses this node"],
] as const)("edgecore logs it and backs off when %s", async (_what, code, least, said) => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  await using stack = new AsyncDisposableStack();
  const waits: number[] = [];
  const log = silentLog();
  const store = stack.use(openStore(join(dir.path, "edge.db")));
  const bus = stack.use(new Bus<EdgeCatalog>({ onFailure: () => undefined }));
  const config = {
    dataDir: dir.path,
    nodeName: "edge-1",
    edgeHub: {
      url: `wss://127.0.0.1:${cloud.port}/p/edge-1/events`,
      tunnelUrl: undefined,
      httpsUrl: `https://127.0.0.1:${cloud.port}`,
      projectId: "p",
      token: cloud.token(),
      tokenFile: undefined,
      rotateCertificates: true,
      caFile: undefined,
      certFile: undefined,
      keyFile: undefined,
      handshakeTimeoutMs: 5000,
      writeDeadlineMs: 5000,
      readDeadlineMs: 5000,
      heartbeatMs: 15_000,
      outboxLimitBytes: 1e6,
    },
  };
  stack.use(await startEdgeHub(config, { port: bus.port("edgehub"), store, clock: notingClock(waits), log }));
  for (const round of [1, 2, 3]) {
    await cloud.until(() => cloud.connections === 1 && cloud.handshakes.length === round);
    cloud.hangUp(code, "why it is");
    await cloud.until(() => cloud.connections === 0 || cloud.handshakes.length > round);
  }
  await eventually(() => waits.filter((ms) => ms >= 20_000).length >= 3 || "not yet");
  const long = waits.filter((ms) => ms >= 20_000).slice(0, 3);
  expect(long.map((ms, at) => ms >= (least[at] ?? 0) && ms <= (least[at] ?? 0) * 1.25)).toEqual([
    true,
    true,
    true,
  ]);
  const line = log.lines.find((one) => one.includes(said)) ?? "";
  expect(line).toContain("why it is");
  expect(line).toContain('"level":"error"');
});
