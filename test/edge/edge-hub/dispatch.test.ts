import { expect, test } from "bun:test";
import { Dispatch } from "#internal/edge/edge-hub/dispatch.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { newMessage, type NewMessage, type WireMessage } from "#shared/wire";

const stamp = { id: () => "answer", nowMs: () => 1 };

/** What goes back to the cloud for a response that nobody waits for. */
function answerToLate(parts: Partial<NewMessage>): readonly WireMessage[] {
  const sent: WireMessage[] = [];
  const dispatch = new Dispatch({
    stamp,
    held: () => false,
    log: silentLog(),
    send: (message) => void sent.push(message),
    settle: () => undefined,
    deliver: () => Promise.resolve({ ack: true }),
  });
  const late = newMessage(
    { id: () => "late", nowMs: () => 1 },
    {
      source: "edgecontroller",
      group: "resource",
      operation: "response",
      resource: "default/configmap/page",
      content: { metadata: { name: "page" } },
      resourceVersion: "7",
      parentId: "gone",
      ...parts,
    },
  );
  dispatch.take(late);
  return sent;
}

test("dispatch acknowledges an object that answers too late, so that the cloud goes on", () => {
  expect(answerToLate({})).toEqual([
    {
      header: { msg_id: "answer", parent_msg_id: "late", timestamp: 1 },
      route: {
        source: "edgecontroller",
        group: "resource",
        operation: "response",
        resource: "default/configmap/page",
      },
      content: "OK",
    },
  ]);
});

test("dispatch says nothing to a late answer that the cloud does not repeat", () => {
  expect([answerToLate({ content: "OK" }), answerToLate({ resourceVersion: undefined })]).toEqual([[], []]);
});

test("dispatch sends what the module answers to a question of the cloud", async () => {
  const sent: WireMessage[] = [];
  const dispatch = new Dispatch({
    stamp,
    held: () => false,
    log: silentLog(),
    send: (message) => void sent.push(message),
    settle: () => undefined,
    deliver: () => Promise.resolve({ ack: true, answer: { history: [] } }),
  });
  const parts = { source: "devicecontroller", group: "twin", operation: "query", content: {} };
  dispatch.take(newMessage({ id: () => "q", nowMs: () => 1 }, { ...parts, resource: "device/d/history" }));
  await dispatch.idle();
  expect(sent.map(({ header, content }) => [header.parent_msg_id, content])).toEqual([
    ["q", { history: [] }],
  ]);
});
