import * as fc from "fast-check";
import {
  objectMessage,
  readHistory,
  readUpstream,
  refusalAnswer,
  reportAnswer,
  requestAnswer,
} from "#internal/cloud/cloud-hub/codec/index.ts";
import { decode } from "#shared/wire";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";
import { json } from "#internal/test/fuzz/json-values.ts";

const stamp = { id: () => "id", nowMs: () => 1 };
const words = ["", "node", "e1", "default", "pod", "podpatch", "lease", "device", "d", "..", "null", "twin"];
const ends = ["twin/edge_updated", "state/update", "discovered", "membership/detail", "secret/s"];

const resource = fc
  .tuple(fc.array(fc.constantFrom(...words), { maxLength: 4 }), fc.constantFrom("", ...ends))
  .map(([parts, end]) => [...parts, end].join("/"));
const operation = fc.constantFrom(
  "insert",
  "update",
  "patch",
  "query",
  "delete",
  "upload",
  "response",
  "error",
);
const frame = fc
  .record({
    source: fc.constantFrom("edged", "twin", "meta", "bus", "edgecontroller"),
    group: fc.constantFrom("resource", "meta", "twin", "user"),
    operation,
    resource,
    content: json,
  })
  .map(({ content, ...route }) =>
    JSON.stringify({ header: { msg_id: "m1", parent_msg_id: "p1", timestamp: 1 }, route, content }),
  );

fuzz("messages of nodes", () =>
  fc.property(frame, (sent) => {
    const read = readUpstream("e1", sent);
    if (read.kind === "malformed") throw new Error(`${read.reason}: ${sent}`);
    if (read.kind === "reply") readHistory(read.reply);
    if (!("address" in read)) return;
    const answers = [
      requestAnswer(stamp, read.address, { ok: true }),
      refusalAnswer(stamp, read.address, "no"),
      reportAnswer(stamp, read.address),
    ];
    for (const answer of answers)
      if (!decode(answer.encode()).ok) throw new Error(`the answer cannot be read: ${answer.encode()}`);
  }),
);

const text = fc.string({ maxLength: 8 });

fuzz("objects for nodes", () =>
  fc.property(
    fc.record({ name: text, namespace: text, uid: text, resourceVersion: text, kind: text, spec: json }),
    ({ kind, spec, ...metadata }) => {
      const sent = objectMessage(stamp, { operation: "insert", object: { kind, metadata, spec } });
      sent.tracked?.digest();
      if (!decode(sent.encode()).ok) throw new Error(`cannot be read: ${sent.encode()}`);
    },
  ),
);
