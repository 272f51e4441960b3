import * as fc from "fast-check";
import { parseDeviceTopic, parseMembershipTopic, parseMqttAddress } from "#shared/mqtt";
import {
  decode,
  deviceOfHistory,
  encode,
  formatResource,
  parseResource,
  type WireMessage,
} from "#shared/wire";
import { fuzz, within } from "#internal/test/fuzz/fuzzing.ts";
import { json, spelled, textOf } from "#internal/test/fuzz/json-values.ts";

const text = fc
  .string({ unit: "binary", minLength: 1, maxLength: 20 })
  .filter((value) => value.isWellFormed());
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined });

/** Absent fields are absent. */
function present<T extends object>(record: T): T {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as T;
}

const message: fc.Arbitrary<WireMessage> = fc.record({
  header: fc
    .record({
      msg_id: text,
      timestamp: fc.integer({ min: 0 }),
      parent_msg_id: optional(text),
      resourceversion: optional(text),
      type: optional(text),
      sync: optional(fc.constant(true)),
    })
    .map((header) => present(header) as WireMessage["header"]),
  route: fc
    .record({
      source: optional(text),
      destination: optional(text),
      group: optional(text),
      operation: optional(text),
      resource: optional(text),
    })
    .map((route) => present(route) as WireMessage["route"]),
  content: json,
});

fuzz("wire frames", () =>
  fc.property(message, fc.nat(), fc.string({ unit: "binary", maxLength: 3 }), (sent, at, noise) => {
    const frame = encode(sent);
    const got = decode(frame);
    if (!got.ok || spelled(got.message) !== spelled(sent))
      throw new Error(`${frame} came out as ${JSON.stringify(got)}`);
    // Cut off, a frame is refused; damaged, it may be another one.
    const place = at % frame.length;
    if (decode(frame.slice(0, place)).ok) throw new Error(`taken though cut off at ${place}: ${frame}`);
    decode(frame.slice(0, place) + noise + frame.slice(place + 1));
  }),
);

fuzz("arbitrary wire frames", () =>
  fc.property(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      json.map((value) => JSON.stringify(value)),
      fc
        .tuple(json, json, json)
        .map(([header, route, content]) => JSON.stringify({ header, route, content })),
      fc.nat(100_000).map((depth) => "[".repeat(depth) + "]".repeat(depth)),
    ),
    (frame) => {
      const got = within(1000, () => decode(frame));
      if (!got.ok) return;
      const again = decode(encode(got.message));
      if (!again.ok || spelled(again.message) !== spelled(got.message))
        throw new Error(`does not survive being sent on: ${frame}`);
    },
  ),
);

const name = fc.stringMatching(/^[a-z0-9.-]{1,10}$/);

fuzz("resource names and device topics", () =>
  fc.property(
    fc.record({ type: name, namespace: name, rest: fc.array(name, { maxLength: 3 }) }),
    textOf(
      "$hw/events/",
      "device/",
      "node/",
      "a",
      "/",
      "//",
      "twin/update",
      "state/update",
      "membership/get",
    ),
    textOf(
      "mqtt://",
      "ssl://",
      "ws://",
      "wss://",
      "a",
      ":",
      "@",
      "%",
      "%zz",
      "[::1]",
      "1883",
      "/",
      "?x",
      "#",
    ),
    ({ type, namespace, rest }, topic, address) => {
      const path = { type, namespace, name: rest.join("/") };
      const read = parseResource(formatResource(type, namespace, path.name));
      if (spelled(read) !== spelled(path)) throw new Error(`${spelled(path)} came out as ${spelled(read)}`);
      parseResource(topic);
      const device = parseDeviceTopic(topic);
      if (device && `$hw/events/device/${device.device}/${device.verb}` !== topic)
        throw new Error(`${topic} was read as ${JSON.stringify(device)}`);
      parseMembershipTopic(topic);
      deviceOfHistory(topic);
      parseMqttAddress(address);
    },
  ),
);
