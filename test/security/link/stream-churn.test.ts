import { expect, test } from "bun:test";
import type { ByteStream } from "#shared/streams";
import { startLinked } from "#internal/test/cloud/cloud-hub/sessions/linked-hubs.ts";

const names = [
  "",
  "kube-api ",
  "KUBE-API",
  "__proto__",
  'service-bus\n{"level":"error"}',
  "x".repeat(60_000),
];

test("streams of services that there are not are reset at both ends, and only their names are quoted", async () => {
  await using linked = await startLinked();
  const { cloud, edge } = linked;
  for (const service of names) {
    for (const open of [() => edge.openStream({ service }), () => cloud.openStream("edge-1", { service })]) {
      const { reason = "" } = await (await open()).closed;
      expect(reason).toContain("does not serve streams of service");
      expect(reason).not.toContain("\n");
      expect(reason.length).toBeLessThanOrEqual(1024);
    }
  }
});

test("12 cuts with 200 streams under way leave no stream and no memory behind", async () => {
  await using linked = await startLinked();
  const { cloud, edge, link } = linked;
  const served: ByteStream[] = [];
  edge.serve = (stream) => void served.push(stream);
  cloud.onApiStream((_node, stream) => void served.push(stream));
  const rejections: unknown[] = [];
  const note = (error: unknown): void => void rejections.push(error);
  process.on("unhandledRejection", note);
  const memory = (): number => {
    Bun.gc(true);
    return process.memoryUsage().rss / 2 ** 20;
  };
  let before = 0;
  for (let turn = 1; turn <= 12; turn += 1) {
    const opened = await Promise.all(
      Array.from({ length: 100 }, async () => [
        await cloud.openStream("edge-1", { service: "service-bus" }),
        await edge.openStream({ service: "kube-api" }),
      ]),
    );
    const streams = opened.flat();
    for (const stream of streams)
      void stream.writable
        .getWriter()
        .write(new Uint8Array(300_000))
        .catch(() => undefined);
    link.cut();
    await Promise.all([...streams, ...served.splice(0)].map(({ closed }) => closed));
    await linked.up(turn + 1);
    if (turn === 4) before = memory();
  }
  expect(memory() - before).toBeLessThan(60);
  process.off("unhandledRejection", note);
  expect(rejections).toEqual([]);
}, 120_000);
