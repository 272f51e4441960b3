import { expect, test } from "bun:test";
import { cloudMessage, encodeRequest, objectRequests, type CloudMessage } from "#edge/edge-hub/codec";
import { newMessage } from "#shared/wire";
import { PendingRequests } from "#internal/edge/edge-hub/pending-requests.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";

const timeoutMs = 1000;
const secret = { type: "secret", namespace: "default", name: "s", timeoutMs };

function answerTo(id: string): CloudMessage {
  const parts = { source: "", group: "", operation: "response", resource: "default/secret/s", content: null };
  return cloudMessage(newMessage({ id: () => "a", nowMs: () => 1 }, { ...parts, parentId: id }));
}

function makeRequests(isUp = true) {
  const clock = new FakeClock();
  const frames: string[] = [];
  const requests = new PendingRequests(clock, (frame) => isUp && frames.push(frame) > 0);
  let id = 0;
  const ask = (): Promise<CloudMessage> => {
    id += 1;
    const request = encodeRequest(objectRequests, { id: () => `r${id}`, nowMs: () => 1 }, secret);
    return requests.ask(request, { timeoutMs });
  };
  return { clock, frames, requests, ask };
}

test("pending requests give each answer to the request with its parent id, once", async () => {
  const { requests, ask } = makeRequests();
  const asked = [ask(), ask()];
  const settled = ["r2", "r1", "r3"].map((id) => requests.settle(answerTo(id))?.id);
  const answers = await Promise.all(asked);
  expect(settled).toEqual(["r2", "r1", undefined]);
  expect(answers.map(({ parentId }) => parentId)).toEqual(["r1", "r2"]);
  expect(requests.settle(answerTo("r1"))).toBeUndefined();
});

test("a pending request is rejected without a link, and nothing waits for it", async () => {
  const { requests, ask } = makeRequests(false);
  await expect(ask()).rejects.toMatchObject({ code: "no-link" });
  expect(requests.settle(answerTo("r1"))).toBeUndefined();
});

test.each<[string, string, (world: ReturnType<typeof makeRequests>) => unknown]>([
  ["its time is over", "timeout", ({ clock }) => clock.advance(timeoutMs)],
  ["the link is lost", "link-lost", ({ requests }) => requests.linkLost("cut")],
])("a pending request is rejected when %s", async (_name, code, happen) => {
  const world = makeRequests();
  const asked = world.ask();
  void happen(world);
  await expect(asked).rejects.toMatchObject({ code });
  expect(world.requests.settle(answerTo("r1"))).toBeUndefined();
});

test("pending requests refuse more than 4096 at a time", async () => {
  const { requests, ask } = makeRequests();
  const asked = Array.from({ length: 4096 }, () => ask());
  await expect(ask()).rejects.toMatchObject({ code: "too-many-requests" });
  for (let id = 1; id <= 4096; id += 1) requests.settle(answerTo(`r${id}`));
  expect(await Promise.all(asked)).toHaveLength(4096);
});
