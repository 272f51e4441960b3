import { expect, test } from "bun:test";
import {
  encodeDeviceState,
  encodeDiscovery,
  encodeEvent,
  encodePodDeletion,
  encodePodStatus,
  encodeTwinReport,
  encodeUpload,
  isUploadTooLarge,
  readStoredFrame,
} from "#edge/edge-hub/codec";
import { textPayload } from "#shared/bytes";
import type { Event } from "#shared/kube";
import { decode, largestMessageBytes } from "#shared/wire";

const stamp = { id: () => "m1", nowMs: () => 7 };
const pod = { namespace: "default", name: "web", uid: "u1" };
const event = { metadata: { namespace: "default", name: "web.1" }, reason: "Started" } as unknown as Event;

/** A database of any edgecore since 0.1 holds these bytes, and KubeEdge's cloud reads them. */
test.each([
  [
    "values of a device",
    encodeTwinReport(stamp, "lamp", { event_id: "e", timestamp: 7, twin: {} }),
    '{"header":{"msg_id":"m1","timestamp":7},"route":{"source":"twin","group":"resource","operation":"update","resource":"device/lamp/twin/edge_updated"},"content":{"event_id":"e","timestamp":7,"twin":{}}}',
  ],
  [
    "the state of a device",
    encodeDeviceState(stamp, "lamp", '{"state":"online"}'),
    '{"header":{"msg_id":"m1","timestamp":7},"route":{"source":"twin","group":"resource","operation":"update","resource":"device/lamp/state/update"},"content":"{\\"state\\":\\"online\\"}"}',
  ],
  [
    "a device that was found",
    encodeDiscovery(stamp, "lamp", { device: {} }),
    '{"header":{"msg_id":"m1","timestamp":7},"route":{"source":"twin","group":"resource","operation":"insert","resource":"device/lamp/discovered"},"content":{"device":{}}}',
  ],
  [
    "an upload",
    encodeUpload(stamp, "SYS/dis/upload_records", { text: "21.5" }),
    '{"header":{"msg_id":"m1","timestamp":7},"route":{"source":"bus","group":"user","operation":"upload","resource":"SYS/dis/upload_records"},"content":"21.5"}',
  ],
  [
    "the status of a pod",
    encodePodStatus(stamp, pod, '{"status":{}}'),
    '{"header":{"msg_id":"m1","timestamp":7},"route":{"source":"edged","group":"meta","operation":"patch","resource":"default/podpatch/web"},"content":"{\\"status\\":{}}"}',
  ],
  [
    "the end of a pod",
    encodePodDeletion(stamp, pod),
    '{"header":{"msg_id":"m1","timestamp":7},"route":{"source":"edged","group":"meta","operation":"delete","resource":"default/pod/web"},"content":{"gracePeriodSeconds":0,"preconditions":{"uid":"u1"}}}',
  ],
  [
    "an Event",
    encodeEvent(stamp, event),
    '{"header":{"msg_id":"m1","timestamp":7},"route":{"source":"edged","group":"meta","operation":"insert","resource":"default/event/web.1"},"content":{"metadata":{"namespace":"default","name":"web.1"},"reason":"Started"}}',
  ],
])("codec writes %s as KubeEdge does", (_name, frame, expected) => {
  expect(frame).toBe(expected);
});

test("codec recognizes a stored frame by its id, and reports of twins among them", () => {
  const report = encodeTwinReport(stamp, "lamp", {});
  const upload = encodeUpload(stamp, "t", { text: "1" });
  expect([report, upload].map((frame) => readStoredFrame(frame))).toEqual([
    { ok: true, bytes: report.length, id: "m1", isTwinReport: true },
    { ok: true, bytes: upload.length, id: "m1", isTwinReport: false },
  ]);
});

test.each([
  ["is not JSON", "{", "not JSON"],
  [
    "is larger than the cloud reads",
    "x".repeat(largestMessageBytes + 1),
    "it is larger than the cloud reads",
  ],
])("codec refuses a stored frame that %s", (_name, frame, reason) => {
  expect(readStoredFrame(frame)).toEqual({ ok: false, bytes: frame.length, reason });
});

test("codec refuses an upload by its size as JSON", () => {
  const characters = largestMessageBytes / 6;
  expect([
    isUploadTooLarge({ text: "x".repeat(characters) }),
    isUploadTooLarge({ text: "\u{1}".repeat(characters) }),
  ]).toEqual([false, true]);
});

test("an upload that is no text has its bytes beside the text that KubeEdge's cloud reads", () => {
  const bytes = new Uint8Array([0x61, 0xff, 0x62]);
  const decoded = decode(encodeUpload(stamp, "t", textPayload(bytes)));
  const { content, bytes: encoded } = decoded.ok ? decoded.message : {};
  expect([content, encoded]).toEqual(["a\ufffdb", Buffer.from(bytes).toString("base64")]);
  expect(encodeUpload(stamp, "t", textPayload(Buffer.from("text")))).not.toContain("bytes");
});
