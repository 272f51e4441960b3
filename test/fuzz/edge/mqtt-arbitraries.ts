import * as fc from "fast-check";
import { textOf } from "#internal/test/fuzz/json-values.ts";

const topic = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("a", "a/b", "$hw/events/device/d/twin/update", "é/x") },
  { weight: 1, arbitrary: textOf("a", "/", "+", "#", "$", "é") },
);
const filter = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("a", "a/+", "+/b", "a/#", "$SYS/#", "#") },
  { weight: 1, arbitrary: textOf("a", "/", "+", "#") },
);
const qos = fc.constantFrom(0, 1, 2);
export const messageId = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 65_535 }));
const payload = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("", "x", "{}") },
  { weight: 1, arbitrary: fc.nat(70_000).map((length) => "y".repeat(length)) },
);

export const connecting = fc.record(
  {
    cmd: fc.constant("connect"),
    clientId: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom("a", "b", "c/d") },
      { weight: 1, arbitrary: fc.string({ maxLength: 300 }) },
    ),
    protocolId: fc.constant("MQTT"),
    protocolVersion: fc.constant(4),
    clean: fc.boolean(),
    keepalive: fc.constantFrom(0, 1, 60),
    username: fc.constantFrom("u", ""),
    will: fc.record({
      topic: fc.constantFrom("w", "a"),
      payload: fc.constant("gone"),
      qos,
      retain: fc.boolean(),
    }),
  },
  { requiredKeys: ["cmd", "clientId", "protocolId", "protocolVersion", "clean", "keepalive"] },
);
export const packet: fc.Arbitrary<object> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .record({ topic, payload, qos, messageId, retain: fc.boolean(), dup: fc.boolean() })
      // Of QoS 0 nothing is repeated.
      .map((fields) => ({ cmd: "publish", ...fields, dup: fields.dup && fields.qos > 0 })),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      cmd: fc.constant("subscribe"),
      messageId,
      subscriptions: fc.array(fc.record({ topic: filter, qos }), { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      cmd: fc.constant("unsubscribe"),
      messageId,
      unsubscriptions: fc.array(filter, { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ cmd: fc.constantFrom("puback", "pubrec", "pubrel", "pubcomp"), messageId }),
  },
  { weight: 1, arbitrary: fc.record({ cmd: fc.constantFrom("pingreq", "disconnect") }) },
  { weight: 1, arbitrary: connecting },
);

const text = fc.constantFrom("", "x", "é", "y".repeat(300));
const words = fc.dictionary(fc.constantFrom("a", "b", "é"), fc.oneof(text, fc.array(text, { maxLength: 3 })));
const seconds = fc.constantFrom(0, 1, 60, 0xffff_ffff);
const bytesOrNone = fc.constantFrom(Buffer.alloc(0), Buffer.from([0, 255]));

/** Properties of MQTT 5; mqtt-packet writes what it is given, also where the standard forbids it. */
const properties5 = fc.record(
  {
    payloadFormatIndicator: fc.boolean(),
    messageExpiryInterval: seconds,
    contentType: text,
    responseTopic: fc.constantFrom("r", "a/b", "#"),
    correlationData: bytesOrNone,
    userProperties: words,
    topicAlias: fc.constantFrom(0, 1, 2, 10, 11, 65_535),
  },
  { requiredKeys: [] },
);
export const connecting5 = fc
  .tuple(
    connecting,
    fc.record(
      {
        sessionExpiryInterval: seconds,
        receiveMaximum: fc.constantFrom(0, 1, 10, 65_535),
        maximumPacketSize: fc.constantFrom(0, 1, 30, 1000, 0xffff_ffff),
        topicAliasMaximum: fc.constantFrom(0, 1, 65_535),
        requestProblemInformation: fc.boolean(),
        userProperties: words,
      },
      { requiredKeys: [] },
    ),
    fc.record({ willDelayInterval: seconds, messageExpiryInterval: seconds }, { requiredKeys: [] }),
  )
  .map(([fields, properties, willProperties]) => ({
    ...fields,
    protocolVersion: 5,
    properties,
    ...(fields.will && { will: { ...fields.will, properties: willProperties } }),
  }));
export const packet5: fc.Arbitrary<object> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({ topic: fc.oneof(topic, fc.constant("")), payload, qos, messageId, properties: properties5 })
      .map((fields) => ({ cmd: "publish", retain: fields.qos === 1, dup: false, ...fields })),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      cmd: fc.constant("subscribe"),
      messageId,
      properties: fc.record(
        { subscriptionIdentifier: fc.constantFrom(0, 1, 268_435_455), userProperties: words },
        { requiredKeys: [] },
      ),
      subscriptions: fc.array(
        fc.record({
          topic: fc.oneof(filter, fc.constantFrom("$share/g/a", "$share/g/#", "$share//a", "$share/g")),
          qos,
          nl: fc.boolean(),
          rap: fc.boolean(),
          rh: fc.nat(3),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      cmd: fc.constantFrom("puback", "pubrec", "pubrel", "pubcomp"),
      messageId,
      reasonCode: fc.constantFrom(0, 0x10, 0x80, 0x92),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      cmd: fc.constantFrom("disconnect", "auth"),
      reasonCode: fc.constantFrom(0, 4, 0x18),
      properties: fc.record({ sessionExpiryInterval: seconds }, { requiredKeys: [] }),
    }),
  },
  { weight: 1, arbitrary: connecting5 },
);
