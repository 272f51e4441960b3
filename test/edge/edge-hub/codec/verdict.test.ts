import { expect, test } from "bun:test";
import { cloudMessage, judgeReply } from "#edge/edge-hub/codec";
import { newMessage } from "#shared/wire";

const status = (code: number, reason = "", message = "no") => ({ kind: "Status", code, reason, message });
const inAnswer = (inner: object) => ({ Object: null, Err: { ErrStatus: inner } });
const otherUid = "Precondition failed: UID in precondition: a, UID in object meta: b";

test.each<[string, unknown, string]>([
  ["an acknowledgement", "OK", "done"],
  ["an object", { Object: { metadata: {} }, Err: null }, "done"],
  ["a success", status(200), "done"],
  ["a bare failure", status(404), "refused 404 no"],
  ["a failure in an answer", inAnswer(status(422)), "refused 422 no"],
  ["a failure without a message", inAnswer({ code: 403, reason: "Forbidden" }), "refused 403 Forbidden"],
  ["an error of its own in Err", { Err: { code: 400, message: "bad" } }, "refused 400 bad"],
  ["a timeout", inAnswer(status(408)), "later 408 no"],
  ["a conflict of versions", inAnswer(status(409, "Conflict")), "later 409 no"],
  ["another object of the name", inAnswer(status(409, "Conflict", otherUid)), `refused 409 ${otherUid}`],
  ["a rate limit", inAnswer(status(429)), "later 429 no"],
  ["an API that is down", inAnswer(status(503)), "later 503 no"],
  ["an error without a status", { Object: null, Err: {} }, "done"],
])("codec takes %s of the cloud for what it means", (_name, content, expected) => {
  const parts = {
    source: "edgecontroller",
    group: "resource",
    operation: "response",
    resource: "r",
    content,
  };
  const verdict = judgeReply(cloudMessage(newMessage({ id: () => "m", nowMs: () => 1 }, parts)));
  const text = verdict.kind === "done" ? [] : [verdict.kind === "refused" ? verdict.code : "", verdict.text];
  expect([verdict.kind, ...text].filter((part) => part !== "").join(" ")).toBe(expected);
});

test("codec takes an error of the cloud for a request to send again", () => {
  const parts = { source: "", group: "", operation: "error", resource: "r", content: "no API" };
  const message = cloudMessage(newMessage({ id: () => "m", nowMs: () => 1 }, parts));
  expect(judgeReply(message)).toEqual({ kind: "later", text: "no API" });
});
