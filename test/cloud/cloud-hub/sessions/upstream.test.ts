import { expect, test } from "bun:test";
import { Upstream, type CloudHubPort } from "#cloud/cloud-hub/sessions";
import { readUpstream, type ModuleMessage } from "#internal/cloud/cloud-hub/codec/index.ts";
import { Bus } from "#shared/bus";
import { UnavailableError } from "#shared/errors";
import type { CloudCatalog } from "#shared/topics";
import { encode, newMessage, type WireMessage } from "#shared/wire";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

interface Bench extends Disposable {
  readonly modules: ReturnType<typeof modulesOf>;
  readonly answers: WireMessage[];
  forward(source: string, operation: string, resource: string, content?: unknown): Promise<void>;
}

const modulesOf = (bus: Bus<CloudCatalog>) =>
  bus.port<never, never, never, "node.request" | "device.report" | "device.discovered" | "membership.list">(
    "modules",
  );

function bench(devices = true): Bench {
  const bus = new Bus<CloudCatalog>({ onFailure: () => undefined });
  const port: CloudHubPort = bus.port("cloudhub");
  const answers: WireMessage[] = [];
  const upstream = new Upstream({
    port,
    devices,
    rules: false,
    send: (_node, message) => void answers.push(JSON.parse(message.encode()) as WireMessage),
    clock: new FakeClock(),
    log: silentLog(),
  });
  return {
    modules: modulesOf(bus),
    answers,
    forward: (source, operation, resource, content = null) => {
      const stamp = { id: () => "m1", nowMs: () => 1 };
      const parts = { source, group: "resource", operation, resource, content };
      return upstream.forward("e1", readUpstream("e1", encode(newMessage(stamp, parts))) as ModuleMessage);
    },
    [Symbol.dispose]: () => bus[Symbol.dispose](),
  };
}

const report = "device/d/twin/edge_updated";

test("a report is answered once the device controller has written it", async () => {
  using cloud = bench();
  const written = Promise.withResolvers<undefined>();
  cloud.modules.answer("device.report", () => written.promise);
  const forwarded = cloud.forward("twin", "update", report, { twin: {} });
  expect(cloud.answers).toEqual([]);
  written.resolve(undefined);
  await forwarded;
  expect(cloud.answers).toMatchObject([{ header: { parent_msg_id: "m1" }, content: "OK" }]);
});

test("a message about a device that cannot be read is answered, so that it is not sent again", async () => {
  using cloud = bench();
  await cloud.forward("twin", "update", "device/d/nonsense");
  expect(cloud.answers).toMatchObject([{ route: { resource: "twin" }, content: "OK" }]);
});

test("without a device controller messages about devices stay unanswered", async () => {
  using cloud = bench(false);
  for (const resource of [report, "membership/detail", "device/d/nonsense"])
    await cloud.forward("twin", "update", resource, { twin: {} });
  expect(cloud.answers).toEqual([]);
});

test("a node that asks for its members gets the list", async () => {
  using cloud = bench();
  const member = { id: "d", name: "d", namespace: "default", uid: "u" };
  cloud.modules.answer("membership.list", async ({ node }) => [{ ...member, id: `${node}-d` }]);
  await cloud.forward("twin", "get", "membership/detail");
  expect(cloud.answers).toMatchObject([
    {
      route: { resource: "membership/detail" },
      content: { devices: [{ ...member, id: "e1-d" }] },
    },
  ]);
});

test("a request that no handler serves gets 400, one whose module fails gets no answer", async () => {
  using cloud = bench();
  cloud.modules.answer("node.request", () => Promise.reject(new UnavailableError("closed", "closed")));
  await cloud.forward("edged", "query", "default/nonsense/x");
  await cloud.forward("edged", "query", "default/secret/s");
  expect(cloud.answers).toMatchObject([{ content: { ErrStatus: { code: 400, reason: "BadRequest" } } }]);
});
