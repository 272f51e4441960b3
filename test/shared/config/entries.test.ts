import { expect, test } from "bun:test";
import { edgeRefusal } from "./files.ts";

test.each([
  [
    "users: [{ name: a, password: secret }]",
    "mqtt.broker.users[0].password-hash: expected a hash as `edgecore hash-password` prints it, got nothing\n  mqtt.broker.users[0].password: unknown; did you mean password-hash (edgecore hash-password prints one)?",
  ],
  [
    "users: [{ name: a, password-hash: secret }]",
    "mqtt.broker.users[0].password-hash: expected a hash as `edgecore hash-password` prints it, got something else",
  ],
  ["users: ['a:secret']", "mqtt.broker.users[0]: expected { name, password-hash }, got something else"],
  [
    "users: { a: secret }",
    "mqtt.broker.users: expected a list of { name, password-hash }, got something else",
  ],
  [
    "users: [{ name: [secret], password-hash: $2b$x }]",
    "mqtt.broker.users[0].name: expected a name, got something else",
  ],
  [
    'acl: [{ topic: "a/#/b", access: read }]',
    'mqtt.broker.acl[0].topic: expected an MQTT topic filter such as a/+/b or a/#, with no placeholders but %u and %c, got "a/#/b"',
  ],
  [
    "acl: [{ topic: a, access: all }]",
    'mqtt.broker.acl[0].access: expected read, write, readwrite or deny, got "all"',
  ],
  [
    "acl: [{ topic: a, access: read, zzzzzzzz: 1 }]",
    "mqtt.broker.acl[0].zzzzzzzz: unknown; expected { user, topic, access }",
  ],
])("mqtt.broker with %s is refused by the key, without a secret", (line, refusal) => {
  const text = edgeRefusal(`mqtt: { broker: { ${line} } }`);
  expect(text.replace(/^Cannot load FILE:\s*/, "")).toBe(refusal);
});

test.each(["mqtt: { broker: [{ users: secret }] }", "edgehub: secret", "mqtt: [{ password: secret }]"])(
  "edge file %j is refused without its secret",
  (text) => {
    expect(edgeRefusal(text)).toContain("expected names with values");
    expect(edgeRefusal(text)).not.toContain("secret");
  },
);

test.each(["a/#", "a/", "/a", "a b+", "/"])("discovery-prefix %j is refused", (prefix) => {
  expect(edgeRefusal(`devicetwin: { discovery-prefix: "${prefix}" }`)).toBe(
    `Cannot load FILE: devicetwin.discovery-prefix: expected the first levels of a topic, such as homeassistant, without "+" and "#" and with no "/" at either end, got "${prefix}"`,
  );
});

test.each(["", "a", "home/assistant"])("discovery-prefix %j is accepted", (prefix) => {
  expect(edgeRefusal(`devicetwin: { discovery-prefix: "${prefix}" }`)).toBe("accepted");
});

test.each(["", "0Mi", "00", "1G", "-1Mi"])("container-log-max-total %j is refused", (size) => {
  expect(edgeRefusal(`edged: { container-log-max-total: "${size}" }`)).toBe(
    `Cannot load FILE: edged.container-log-max-total: expected 0 or a size such as 500Ki, 10Mi or 1Gi, got "${size}"`,
  );
});

test.each(["", "10M", "0Mi", "1.5Gi", "Mi", "10"])("container-log-max-size %j is refused", (size) => {
  expect(edgeRefusal(`edged: { container-log-max-size: "${size}" }`)).toBe(
    `Cannot load FILE: edged.container-log-max-size: expected a size such as 500Ki, 10Mi or 1Gi, got "${size}"`,
  );
});

test.each([
  [
    "eviction-hard: { memory.availible: 100Mi }",
    'edged.eviction-hard: expected names of memory.available, nodefs.available, nodefs.inodesFree, imagefs.available, imagefs.inodesFree, pid.available with values, got {"memory.availible":"100Mi"}',
  ],
  [
    "eviction-hard: { memory.available: a lot }",
    'edged.eviction-hard.memory.available: expected an amount such as 100Mi, or a percentage such as 10%, got "a lot"',
  ],
  [
    "eviction-hard: { nodefs.available: 110% }",
    'edged.eviction-hard.nodefs.available: expected an amount such as 100Mi, or a percentage such as 10%, got "110%"',
  ],
  [
    "eviction-soft: { memory.available: 300Mi }",
    "edged.eviction-soft-grace-period: expected a duration for memory.available, as edged.eviction-soft has a threshold for it, got none; add memory.available: 90s",
  ],
  [
    "eviction-soft-grace-period: { memory.available: soon }",
    'edged.eviction-soft-grace-period.memory.available: expected a duration such as 90s or 1m30s, got "soon"',
  ],
  [
    "system-reserved: { memory: much }",
    'edged.system-reserved.memory: expected an amount such as 500m or 256Mi, got "much"',
  ],
])("edged with %s is refused by the key", (line, refusal) => {
  expect(edgeRefusal(`edged: { ${line} }`).replace(/^Cannot load FILE:\s*/, "")).toBe(refusal);
});
