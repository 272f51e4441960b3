import { expect, test } from "bun:test";
import { readUpstream } from "#internal/cloud/cloud-hub/codec/upstream-message.ts";
import { encode, newMessage, type NewMessage } from "#shared/wire";

const stamp = { id: () => "m1", nowMs: () => 7 };

function read(parts: Partial<NewMessage>): unknown {
  const message = newMessage(stamp, {
    source: "edged",
    group: "meta",
    operation: "query",
    resource: "",
    content: null,
    ...parts,
  });
  return readUpstream("e1", encode(message));
}

test("a request names a kind, a verb and an object", () => {
  expect(read({ operation: "patch", resource: "node/e1/default/podpatch/web", content: "{}" })).toMatchObject(
    {
      kind: "request",
      request: {
        node: "e1",
        verb: "patch",
        resource: "Pod/status",
        namespace: "default",
        name: "web",
        content: "{}",
      },
    },
  );
});

test("the wire's word for no namespace does not reach the modules", () => {
  expect(read({ resource: "null/persistentvolume/pv" })).toMatchObject({
    request: { resource: "PersistentVolume", namespace: "", name: "pv" },
  });
});

test.each([
  ["query", "default", 'cannot query "default": the cloud does not know this'],
  ["query", "default/nonsense/e1", 'cannot query "default/nonsense/e1": the cloud does not know this'],
  ["update", "default/podpatch/p", 'cannot update "default/podpatch/p": the cloud does not know this'],
  ["query", "../secret/s", '"../secret/s" does not name an object'],
  ["query", "default/secret/a/../b", '"default/secret/a/../b" does not name an object'],
  ["query", "default/secret/..", '"default/secret/.." does not name an object'],
])("%s %s is not served", (operation, resource, problem) => {
  expect(read({ operation, resource })).toMatchObject({ kind: "unserved", problem });
});

test.each([
  ["text", "21.5", "21.5"],
  ["JSON", { a: 1 }, '{"a":1}'],
  ["nothing", null, ""],
])("an upload that is %s is kept as text, under whatever topic", (_, content, kept) => {
  const parts = { source: "bus", group: "user", operation: "upload", resource: "node/e1/a", content };
  expect(read(parts)).toMatchObject({
    kind: "upload",
    upload: { node: "e1", id: "m1", topic: "node/e1/a", sentMs: 7, content: kept },
  });
});

test("messages of group user that are not uploads are ignored", () => {
  expect(read({ source: "bus", group: "user", operation: "publish", resource: "t" })).toEqual({
    kind: "ignored",
  });
});

const twin = { source: "twin", group: "twin", operation: "update" };

test("a report has the sides of each twin, and null for one that was deleted", () => {
  const side = (value: unknown): object => ({ value, metadata: { timestamp: 5 } });
  const content = {
    timestamp: 9,
    device_uid: "u",
    twin: {
      both: { actual: side("1"), expected: side("2"), metadata: { type: "int" } },
      odd: { actual: side(3) },
      gone: { metadata: { type: "deleted" } },
      none: 1,
    },
  };
  const value = (text: string): object => ({ value: text, metadata: { timestamp: "5", type: "int" } });
  expect(read({ ...twin, resource: "node/e1/device/lab/d/twin/edge_updated", content })).toMatchObject({
    kind: "twin",
    message: {
      kind: "report",
      report: {
        kind: "twins",
        node: "e1",
        device: "lab/d",
        deviceUid: "u",
        madeMs: 9,
        twins: new Map<string, object | null>([
          ["both", { reported: value("1"), observedDesired: value("2") }],
          ["odd", {}],
          ["gone", null],
        ]),
      },
    },
  });
});

test.each([
  ["device/d/state/update", "{ not json"],
  ["device/d/state", { device: { state: 1 } }],
  ["device/d/twin/edge_updated", "text"],
  ["device/d/nonsense", {}],
  ["device/d/discovered", { device: { metadata: {} } }],
  ["", null],
])("a message of a twin about %p is not readable: %#", (resource, content) => {
  expect(read({ ...twin, resource, content })).toMatchObject({
    kind: "twin",
    message: { kind: "unreadable" },
  });
});

test("a message with the source of a cloud module, or about another node, is refused", () => {
  expect([
    read({ source: "edgecontroller", resource: "default/pod/p" }),
    read({ operation: "update", resource: "default/nodestatus/e2" }),
  ]).toMatchObject([
    { kind: "refused", reason: "source is a module of the cloud" },
    { kind: "refused", reason: "it is about another node", route: { resource: "default/nodestatus/e2" } },
  ]);
});
