import { expect, test } from "bun:test";
import { cloudMessage } from "#edge/edge-hub/codec";
import type { Delivery } from "#shared/topics";
import { newMessage, type NewMessage, type WireMessage } from "#shared/wire";
import { Dispatch } from "#internal/edge/edge-hub/dispatch.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

const object: NewMessage = {
  source: "edgecontroller",
  group: "resource",
  operation: "response",
  resource: "default/configmap/page",
  content: { metadata: { name: "page" } },
};

interface World {
  /** Messages for the cloud, oldest first. */
  readonly sent: WireMessage[];
  readonly dispatch: Dispatch;
  /** Takes a message with this id. */
  take(id: string, parts: Partial<NewMessage>): void;
}

function makeWorld(deliver: () => Promise<Delivery>, isHeld = false): World {
  const sent: WireMessage[] = [];
  const dispatch = new Dispatch({
    stamp: { id: () => "answer", nowMs: () => 1 },
    confirms: () => false,
    isHeld: () => isHeld,
    log: silentLog(),
    send: (frame) => void sent.push(JSON.parse(frame) as WireMessage),
    settle: () => undefined,
    deliver,
  });
  return {
    sent,
    dispatch,
    take: (id, parts) => {
      const stamp = { id: () => id, nowMs: () => 1 };
      dispatch.take(cloudMessage(newMessage(stamp, { ...object, ...parts })));
    },
  };
}

const acknowledging = (): Promise<Delivery> => Promise.resolve({ ack: true });

test("dispatch acknowledges an object that answers too late, so that the cloud continues", () => {
  const { sent, take } = makeWorld(acknowledging);
  take("late", { parentId: "gone", resourceVersion: "7" });
  const { source, group, operation, resource } = object;
  expect(sent).toEqual([
    {
      header: { msg_id: "answer", parent_msg_id: "late", timestamp: 1 },
      route: { source, group, operation, resource },
      content: "OK",
    },
  ]);
});

test.each([
  ["without an object", { content: "OK", resourceVersion: "7" }],
  ["without a version", {}],
])("dispatch does not acknowledge a late answer %s, which the cloud does not repeat", (_name, parts) => {
  const { sent, take } = makeWorld(acknowledging);
  take("late", { parentId: "gone", ...parts });
  expect(sent).toEqual([]);
});

test("dispatch sends what the module answers to a question of the cloud", async () => {
  const { sent, take, dispatch } = makeWorld(() => Promise.resolve({ ack: true, answer: { history: [] } }));
  take("q", { group: "twin", operation: "query", resource: "device/d/history" });
  await dispatch.idle();
  expect(sent.map(({ header, content }) => [header.parent_msg_id, content])).toEqual([
    ["q", { history: [] }],
  ]);
});

test("dispatch delivers messages of one subject in order and those of others at once", async () => {
  const gates: (() => void)[] = [];
  const { sent, take, dispatch } = makeWorld(async () => {
    await new Promise<void>((resolve) => gates.push(resolve));
    return { ack: true };
  });
  take("a1", { operation: "insert", resource: "default/pod/a" });
  take("a2", { operation: "update", resource: "default/pod/a" });
  take("b1", { operation: "insert", resource: "default/pod/b" });
  const started = gates.length;
  const idle = dispatch.idle();
  while (sent.length < 3) {
    for (const open of gates.splice(0)) open();
    await Promise.resolve();
  }
  await idle;
  expect({ started, order: sent.map(({ header }) => header.parent_msg_id) }).toEqual({
    started: 2,
    order: ["a1", "b1", "a2"],
  });
});

test("dispatch delivers nothing of a cloud that is held back", async () => {
  let delivered = 0;
  const { sent, take, dispatch } = makeWorld(() => {
    delivered += 1;
    return acknowledging();
  }, true);
  take("m", { operation: "insert" });
  await dispatch.idle();
  expect({ delivered, sent }).toEqual({ delivered: 0, sent: [] });
});
