import { describe, expect, test } from "bun:test";
import { largestMessageBytes, newMessage, type WireMessage } from "#shared/wire";
import {
  clientPair,
  RawNode,
  stamp,
  startHarness,
  type Harness,
} from "#internal/test/cloud/cloud-hub/hub-harness.ts";

async function connect(harness: Harness, node: string): Promise<RawNode> {
  const raw = new RawNode(harness, await clientPair(harness.authority, `system:node:${node}`), { node });
  await raw.opened;
  await harness.until((events) => events.some(({ topic, body }) => topic === "connected" && body === node));
  return raw;
}

const answer = (raw: RawNode, to: WireMessage, content: unknown): void =>
  raw.say("devicecontroller", "response", "device/default/d/history", {
    group: "twin",
    content,
    parentId: to.header.msg_id,
  });

describe("cloudhub questions to nodes", () => {
  test("a question gets the answer of the node that was asked, and of no other", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness, "edge-1");
    using other = await connect(harness, "edge-2");
    const asked = harness.askHistory("edge-1");
    const received = await raw.next();
    answer(other, received, "forged");
    other.say("meta", "query", "default/secret/s");
    await harness.until((events) => events.some(({ topic }) => topic === "node.request"));
    answer(raw, received, { history: [] });
    expect(await asked).toEqual({ kind: "values", document: { history: [] } });
  });

  test("a node that cannot answer reports an error", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness, "edge-1");
    const asked = harness.askHistory("edge-1");
    const received = await raw.next();
    raw.say("devicecontroller", "error", "device/default/d/history", {
      content: "disk",
      parentId: received.header.msg_id,
    });
    expect(await asked).toEqual({ kind: "failed", reason: "disk" });
  });

  test("a question to a node that is not connected is refused at once", async () => {
    await using harness = await startHarness();
    await expect(harness.askHistory("edge-1")).rejects.toMatchObject({
      code: "not-connected",
      message: 'Node "edge-1" is not connected',
    });
  });

  test("a question ends with the time it was given", async () => {
    await using harness = await startHarness();
    using _raw = await connect(harness, "edge-1");
    await expect(harness.askHistory("edge-1", 50)).rejects.toMatchObject({ code: "timeout" });
  });

  test("a question ends with the connection it went over, also when the node is back", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness, "edge-1");
    const asked = harness.askHistory("edge-1");
    const ended = asked.then(
      () => "answered",
      (error: unknown) => (error as { code: string }).code,
    );
    await raw.next();
    using _again = await connect(harness, "edge-1");
    expect(await ended).toBe("node-gone");
  });

  test("only so many questions wait for a node", async () => {
    await using harness = await startHarness();
    using _raw = await connect(harness, "edge-1");
    const waiting = Array.from({ length: 64 }, () => harness.askHistory("edge-1").catch(() => undefined));
    await expect(harness.askHistory("edge-1")).rejects.toMatchObject({ code: "too-many-requests" });
    await harness.closeNode("edge-1");
    await Promise.all(waiting);
  });
});

describe("cloudhub uploads", () => {
  test("an upload is answered once it is stored, whatever its topic looks like", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness, "edge-1");
    raw.say("bus", "upload", "default/node/edge-2", { group: "user", content: "21.5" });
    const received = await raw.next();
    expect([received.route.operation, received.content, harness.uploads]).toEqual([
      "response",
      "OK",
      ["21.5"],
    ]);
  });

  test("the largest message a node sends is read", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness, "edge-1");
    const frame = (content: string): string =>
      JSON.stringify(
        newMessage(stamp, { source: "bus", group: "user", operation: "upload", resource: "t", content }),
      );
    raw.raw(frame("x".repeat(largestMessageBytes - frame("").length)));
    expect((await raw.next()).content).toBe("OK");
    raw.raw(frame("x".repeat(largestMessageBytes)));
    expect(await raw.closed).toBe(1009);
  });

  test("an upload that is not stored is not answered", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness, "edge-1");
    harness.full.add("kept back");
    for (const content of ["kept back", "fits"])
      raw.say("bus", "upload", content, { group: "user", content });
    expect((await raw.next()).route.resource).toBe("fits");
    expect(harness.uploads).toEqual(["kept back", "fits"]);
  });
});
