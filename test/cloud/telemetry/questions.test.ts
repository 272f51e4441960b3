import { describe, expect, test } from "bun:test";
import { startTelemetry, type CloudTelemetry, type TelemetryStartConfig } from "#cloud/telemetry";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import { ConfigError, UnavailableError } from "#shared/errors";
import type { CloudCatalog, HistoryAnswer, HistoryQuestion } from "#shared/topics";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface Cloud extends AsyncDisposable {
  readonly telemetry: CloudTelemetry;
  readonly asked: HistoryQuestion[];
  upload(node: string, topic: string, content: string): Promise<boolean>;
  get(path: string): Promise<readonly [number, unknown]>;
}

type AnswerNode = () => HistoryAnswer;

const unreadable: AnswerNode = () => ({ kind: "unreadable" });
const values =
  (document: Record<string, unknown>): AnswerNode =>
  () => ({ kind: "values", document });

/** Telemetry with the test in the place of the hub and of the device controller. */
async function startCloud(
  answerNode: AnswerNode = unreadable,
  config: Partial<TelemetryStartConfig> = {},
): Promise<Cloud> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir("telemetry"));
  const bus = stack.use(new Bus<CloudCatalog>({ onFailure: () => undefined }));
  const asked: HistoryQuestion[] = [];
  const others = bus.port<never, "device.upload", never, "device.history" | "device.find">("others");
  others.answer("device.find", async ({ name }) => {
    if (name === "none") return undefined;
    return { node: name === "unbound" ? undefined : "edge-1" };
  });
  others.answer("device.history", async (question) => {
    asked.push(question);
    return answerNode();
  });
  const telemetry = stack.use(
    await startTelemetry(
      {
        dataDir: dir.path,
        devices: true,
        uploads: { limitBytes: 1e8, maxAgeMs: 1e9 },
        http: { address: "127.0.0.1", port: 0 },
        ...config,
      },
      { port: bus.port("telemetry"), clock: systemClock, log: silentLog() },
    ),
  );
  const owned = stack.move();
  return {
    telemetry,
    asked,
    upload: (node, topic, content) =>
      others.ask("device.upload", { node, id: crypto.randomUUID(), topic, sentMs: 1, content }),
    get: async (path) => {
      const response = await fetch(`http://127.0.0.1:${telemetry.port}${path}`);
      return [response.status, await response.json()];
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe("uploads over HTTP", () => {
  test("a reader follows them with a cursor", async () => {
    await using cloud = await startCloud();
    for (const content of ["one", "two", "three"]) await cloud.upload("edge-1", "a/b", content);
    const first = await cloud.get("/uploads?limit=2");
    expect(first).toEqual([
      200,
      {
        uploads: ["one", "two"].map((content, index) => ({
          id: index + 1,
          node: "edge-1",
          topic: "a/b",
          sentAt: 1,
          receivedAt: expect.any(Number),
          content,
        })),
        next: 2,
        dropped: 0,
      },
    ]);
    expect(await cloud.get("/uploads?after=2")).toMatchObject([
      200,
      { uploads: [{ content: "three" }], next: 3 },
    ]);
    expect(await cloud.get("/uploads?after=3")).toEqual([200, { uploads: [], next: 3, dropped: 0 }]);
  });

  test("one node or topic can be asked for", async () => {
    await using cloud = await startCloud();
    await cloud.upload("edge-1", "a/b", "one");
    await cloud.upload("edge-2", "c/d", "two");
    const found = { uploads: [{ content: "two" }] };
    expect(await cloud.get("/uploads?node=edge-2")).toMatchObject([200, found]);
    expect(await cloud.get(`/uploads?topic=${encodeURIComponent("c/d")}`)).toMatchObject([200, found]);
  });

  test.each([
    ["/uploads?after=x", `after: expected a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, got "x"`],
    ["/uploads?limit=0", 'limit: expected a whole number from 1 to 1000, got "0"'],
    ["/devices/default/d/t?limit=1e3", 'limit: expected a whole number from 1 to 10000, got "1e3"'],
    [
      "/devices/default/d/t?since=-1",
      `since: expected a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, got "-1"`,
    ],
  ])("%s is refused by the parameter's name", async (path, error) => {
    await using cloud = await startCloud();
    expect(await cloud.get(path)).toEqual([400, { error }]);
  });
});

describe("history over HTTP", () => {
  test("the node the device is on is asked by namespace and name, and its answer is given", async () => {
    const document = { device: "id-of-d", property: "t", twin: null, history: [{ at: 1, value: "2" }] };
    await using cloud = await startCloud(values(document));
    expect(await cloud.get("/devices/default/d/t?since=5&limit=7")).toEqual([
      200,
      { node: "edge-1", ...document },
    ]);
    expect(cloud.asked).toEqual([
      {
        node: "edge-1",
        namespace: "default",
        device: "d",
        property: "t",
        since: 5,
        until: Number.MAX_SAFE_INTEGER,
        limit: 7,
        timeoutMs: 10_000,
      },
    ]);
  });

  test("an answer has the name of the node that was asked, whatever the node sends", async () => {
    await using cloud = await startCloud(values({ node: "edge-2", history: [] }));
    expect(await cloud.get("/devices/default/d/t")).toEqual([200, { node: "edge-1", history: [] }]);
  });

  const fails = (code: string, message: string) => (): never => {
    throw new UnavailableError(code, message);
  };
  test.each<[string, AnswerNode, number, string]>([
    ["none", unreadable, 404, 'device "default/none" not found'],
    ["unbound", unreadable, 404, 'device "default/unbound" is on no node: its spec.nodeName is empty'],
    [
      "bare",
      () => ({ kind: "refused", code: 404, reason: 'property "t" not found' }),
      404,
      'node "edge-1": property "t" not found',
    ],
    ["away", fails("not-connected", 'Node "edge-1" is not connected'), 503, 'Node "edge-1" is not connected'],
    [
      "silent",
      fails("timeout", "no answer"),
      504,
      "no answer; it is busy, or runs an edgecore that does not know this question",
    ],
    ["failed", () => ({ kind: "failed", reason: "disk" }), 503, 'node "edge-1" cannot read the values: disk'],
    ["refused", () => ({ kind: "refused", code: 418, reason: "no" }), 502, 'node "edge-1": no'],
    ["odd", unreadable, 502, 'node "edge-1" gave an answer without values'],
  ])(
    "the answer for device %s has the reason why there is no history",
    async (device, answerNode, code, error) => {
      await using cloud = await startCloud(answerNode);
      expect(await cloud.get(`/devices/default/${device}/t`)).toEqual([code, { error }]);
    },
  );

  test("without a device controller no node is asked", async () => {
    await using cloud = await startCloud(unreadable, { devices: false });
    const error = "devices are not managed here: devicecontroller.enabled is false";
    expect(await cloud.get("/devices/default/d/t")).toEqual([404, { error }]);
  });
});

test("an address that is taken is named with the field to change", async () => {
  await using cloud = await startCloud();
  const http = { address: "127.0.0.1", port: cloud.telemetry.port ?? 0 };
  const second = startCloud(unreadable, { http });
  await expect(second).rejects.toThrow(ConfigError);
  await expect(second).rejects.toThrow("telemetry.port names another");
});

test("no address opens no port", async () => {
  await using cloud = await startCloud(unreadable, { http: undefined });
  expect(cloud.telemetry.port).toBeUndefined();
});
