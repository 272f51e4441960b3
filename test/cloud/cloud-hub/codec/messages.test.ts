import { expect, test } from "bun:test";
import {
  adoptMessage,
  historyMessage,
  membershipAnswer,
  membershipMessage,
  objectMessage,
  readHistory,
  readUpstream,
  refusalAnswer,
  reportAnswer,
  requestAnswer,
  uploadAnswer,
  type DownstreamMessage,
  type NodeReply,
  type ReplyAddress,
} from "#internal/cloud/cloud-hub/codec/index.ts";
import type { HistoryAnswer, NodeAnswer } from "#shared/topics";
import { encode, newMessage } from "#shared/wire";

const stamp = { id: () => "id", nowMs: () => 7 };
const header = { msg_id: "id", timestamp: 7 };
const answered = { msg_id: "id", parent_msg_id: "m1", timestamp: 7 };

/** Frames are compared as text: the order of their fields belongs to the wire. */
function frameOf(message: DownstreamMessage): string {
  return message.encode();
}

function addressOf(operation: string, resource: string, source = "edged"): ReplyAddress {
  const parts = { source, group: "meta", operation, resource, content: "{}" };
  const read = readUpstream("e1", encode(newMessage({ id: () => "m1", nowMs: () => 1 }, parts)));
  if (!("address" in read)) throw new Error(`not answered: ${read.kind}`);
  return read.address;
}

test("an object goes out under its namespace, kind and name, devices from their controller", () => {
  const metadata = { name: "d", namespace: "lab", uid: "u", resourceVersion: "3" };
  const device = { apiVersion: "devices.kubeedge.io/v1beta1", kind: "Device", metadata };
  const sent = objectMessage(stamp, { operation: "insert", object: device });
  expect(frameOf(sent)).toBe(
    JSON.stringify({
      header: { ...header, resourceversion: "3" },
      route: {
        source: "devicecontroller",
        group: "resource",
        operation: "insert",
        resource: "lab/device/d",
      },
      content: device,
    }),
  );
  expect(sent.tracked).toMatchObject({ key: "u", operation: "insert", isDeleting: false });
});

test("members go out as KubeEdge's membership, and are not acknowledged", () => {
  const devices = [{ id: "d", name: "d", namespace: "default", uid: "u" }];
  const sent = membershipMessage(stamp, { change: "removed", devices });
  const route = { source: "devicecontroller", group: "twin", operation: "update", resource: "membership" };
  const content = { event_id: "id", timestamp: 7, added_devices: null, removed_devices: devices };
  expect(frameOf(sent)).toBe(JSON.stringify({ header, route, content }));
  expect(sent.tracked).toBeUndefined();
});

test("a question for history goes to the device by namespace and name", () => {
  const range = { since: 5, until: 9, limit: 7 };
  const sent = historyMessage(stamp, { namespace: "default", device: "d", property: "t", ...range });
  const route = { group: "twin", operation: "query", resource: "device/default/d/history" };
  expect(frameOf(sent)).toBe(
    JSON.stringify({
      header,
      route: { source: "devicecontroller", ...route },
      content: { property: "t", ...range },
    }),
  );
});

test("an adoption names the database", () => {
  const route = { source: "cloudhub", group: "cloud", operation: "adopt", resource: "database" };
  expect(frameOf(adoptMessage(stamp, "db"))).toBe(JSON.stringify({ header, route, content: "db" }));
});

const page = { kind: "ConfigMap", metadata: { name: "page", uid: "u", resourceVersion: "4" } };
const status = { metadata: {}, status: "Failure", message: "no", reason: "NotFound", code: 404 } as const;
const failed: NodeAnswer = { ok: false, status };
const none = { metadata: { creationTimestamp: null } };

interface AnswerCase {
  readonly request: readonly [operation: string, resource: string];
  readonly answer: NodeAnswer;
  readonly content: unknown;
  readonly version?: string;
}

const good: NodeAnswer = { ok: true, object: page };
const done: NodeAnswer = { ok: true };
const failure = { ErrStatus: status };
const both = { Object: page, Err: null };

test.each<AnswerCase>([
  { request: ["query", "default/configmap/page"], answer: good, content: page, version: "4" },
  { request: ["query", "default/configmap/page"], answer: failed, content: failure },
  { request: ["patch", "default/podpatch/p"], answer: good, content: both, version: "4" },
  { request: ["patch", "default/podpatch/p"], answer: failed, content: { Object: none, Err: failure } },
  { request: ["query", "kube-node-lease/lease/e1"], answer: good, content: both },
  { request: ["query", "default/serviceaccounttoken/a"], answer: good, content: page },
  { request: ["delete", "default/pod/p"], answer: done, content: "OK" },
  { request: ["delete", "default/pod/p"], answer: failed, content: failure },
])("the answer to $request is in KubeEdge's form: %#", ({ request, answer, content, version }) => {
  const [operation, resource] = request;
  const sent = requestAnswer(stamp, addressOf(operation, resource), answer);
  const route = { source: "edgecontroller", group: "resource", operation: "response", resource };
  const versioned = { ...answered, ...(version === undefined ? {} : { resourceversion: version }) };
  expect(frameOf(sent)).toBe(JSON.stringify({ header: versioned, route, content }));
});

test("other answers have the source of the module that gives them", () => {
  const twins = addressOf("update", "device/d/twin/edge_updated", "twin");
  const answers = [
    uploadAnswer(stamp, addressOf("query", "default/configmap/page")),
    refusalAnswer(stamp, addressOf("query", "default/pod/p", "edgecontroller"), "no"),
    reportAnswer(stamp, twins),
    membershipAnswer(stamp, twins, []),
  ].map((sent) => JSON.parse(frameOf(sent)) as unknown);
  const forbidden = { metadata: {}, status: "Failure", message: "no", reason: "Forbidden", code: 403 };
  const twin = { source: "devicecontroller", group: "twin", operation: "response" };
  const hub = { source: "cloudhub", group: "meta", operation: "response" };
  expect(answers).toEqual([
    { header: answered, route: { ...hub, resource: "default/configmap/page" }, content: "OK" },
    { header: answered, route: { ...hub, resource: "default/pod/p" }, content: { ErrStatus: forbidden } },
    { header: answered, route: { ...twin, resource: "twin" }, content: "OK" },
    {
      header: answered,
      route: { ...twin, resource: "membership/detail" },
      content: { event_id: "id", timestamp: 7, devices: [] },
    },
  ]);
});

test.each<{ readonly reply: NodeReply; readonly read: HistoryAnswer }>([
  { reply: { isError: true, text: "disk" }, read: { kind: "failed", reason: "disk" } },
  { reply: { isError: false, content: "OK" }, read: { kind: "unreadable" } },
  {
    reply: { isError: false, content: { error: "no", code: 404 } },
    read: { kind: "refused", reason: "no", code: 404 },
  },
  {
    reply: { isError: false, content: { error: "no" } },
    read: { kind: "refused", reason: "no", code: undefined },
  },
  {
    reply: { isError: false, content: { history: [] } },
    read: { kind: "values", document: { history: [] } },
  },
])("an answer for history is read: $read.kind, %#", ({ reply, read }) => {
  expect(readHistory(reply)).toEqual(read);
});
