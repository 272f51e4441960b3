import { expect, test } from "bun:test";
import { modelPropertyProblems, readMapping, readReport, type MappingProblem } from "#shared/devices";
import type { Device, DeviceModel } from "#shared/kube";

type Config = Record<string, unknown>;

function device(own: Config, protocol: Config = {}): Device {
  return {
    metadata: { name: "d", namespace: "default" },
    spec: {
      deviceModelRef: { name: "m" },
      properties: [
        { name: "good", visitors: { configData: { topic: "good" } } },
        { name: "p", visitors: { configData: own } },
      ],
      protocol: { protocolName: "mqtt", configData: protocol },
    },
  };
}

const at = "spec.properties[1].visitors.configData";

const unusable: readonly [string, Config, Config, readonly [string, string]][] = [
  ["a wildcard inside a level", { topic: "a/b+" }, {}, [`${at}.topic`, "must be an MQTT topic filter"]],
  ["a topic of KubeEdge's", { topic: "$hw/x" }, {}, [`${at}.topic`, "must not start with $"]],
  ["a topic that is no text", { topic: 5 }, {}, [`${at}.topic`, "must be a text"]],
  ["half an expression", { topic: "t", expression: "value *" }, {}, [`${at}.expression`, "end of text"]],
  ["a wildcard path", { topic: "t", path: "$.a[*].b" }, {}, [`${at}.path`, "must be a path"]],
  ["an open path", { topic: "t", path: "$.a[" }, {}, [`${at}.path`, "must be a path"]],
  ["a wildcard to publish to", { setTopic: "a/#" }, {}, [`${at}.setTopic`, "without wildcards"]],
  [
    "a payload that is no text",
    { setTopic: "a", setPayload: {} },
    {},
    [`${at}.setPayload`, "must be a text"],
  ],
  [
    "a retain that has no text",
    { setTopic: "a", setRetain: { toString: null } },
    {},
    [`${at}.setRetain`, "true or false"],
  ],
  ["a half-hearted retain", { setTopic: "a", setRetain: "maybe" }, {}, [`${at}.setRetain`, "true or false"]],
  [
    "a bad topic for the state",
    {},
    { stateTopic: "a/#/b" },
    ["spec.protocol.configData.stateTopic", "topic filter"],
  ],
];

test.each(unusable)("%s is a problem and the rest works", (_, own, protocol, [field, problem]) => {
  const { mapping, problems } = readMapping(device(own, protocol), undefined);
  expect(problems).toEqual([
    { kind: "Device", field, value: expect.anything(), problem: expect.stringContaining(problem) },
  ]);
  expect(mapping?.filters).toEqual(["good"]);
});

test("a problem in a model has the field of the model", () => {
  const model: DeviceModel = {
    metadata: { name: "m" },
    spec: {
      protocol: "mqtt",
      properties: [{ name: "x" }, { name: "p", visitors: { configData: { topic: "{name}/#/x" } } }],
    },
  };
  const problem: MappingProblem = {
    kind: "DeviceModel",
    field: `${at}.topic`,
    value: "{name}/#/x",
    problem: expect.any(String),
  };
  expect(modelPropertyProblems(model)).toEqual([problem]);
  expect(readMapping(device({}), model).problems).toEqual([problem]);
  expect(readMapping(device({ topic: "own" }), model).problems).toEqual([]);
});

const misspelled: readonly [Config, Config, string, string][] = [
  [{ topic: "t", tpoic: "x" }, {}, `${at}.tpoic`, 'unknown key, did you mean "topic"?'],
  [{ topic: "t" }, { stateTopik: "x" }, "spec.protocol.configData.stateTopik", 'did you mean "stateTopic"?'],
  [{ topic: "t", setTopic: "a/{nmae}" }, {}, `${at}.setTopic`, "placeholder {nmae}, did you mean {name}?"],
  [{ topic: "t" }, { stateTopic: "{where}" }, "spec.protocol.configData.stateTopic", "{name} or {namespace}"],
  [
    { topic: "t", setTopic: "a", setPayload: '{"a":{{vlaue}}}' },
    {},
    `${at}.setPayload`,
    "{{vlaue}}, did you mean {{value}}?",
  ],
];

test.each(misspelled)("%j with %j is a problem at %s", (own, protocol, field, problem) => {
  const { mapping, problems } = readMapping(device(own, protocol), undefined);
  expect(problems.map((found) => [found.field, found.problem])).toEqual([
    [field, expect.stringContaining(problem)],
  ]);
  expect(mapping?.filters).toEqual(["good", "t"]);
});

test("keys of other mappers are ignored", () => {
  const own = { topic: "t", clientID: "c1", brokerUrl: "tcp://127.0.0.1:1883", qos: "1" };
  const protocol = { username: "u", password: "p", message: "m", connectionTTL: "60" };
  expect(readMapping(device(own, protocol), undefined).problems).toEqual([]);
});

test("configData of another protocol may have any key", () => {
  const odd = device({});
  const visitors = { protocolName: "modbus", configData: { register: "x", tpoic: "y" } };
  const found = readMapping(
    { ...odd, spec: { ...odd.spec, properties: [{ name: "p", visitors }] } },
    undefined,
  );
  expect(found.problems).toEqual([]);
});

test("a payload may have braces of its own", () => {
  const own = { setTopic: "a", setPayload: '{"a":{"b":{{ value }},"c":"{{name}}"}}' };
  expect(readMapping(device(own), undefined).problems).toEqual([]);
});

test("a device of another protocol has no mapping", () => {
  const odd = { ...device({ topic: "a/#/b" }), spec: { protocol: { protocolName: "modbus" } } };
  expect(readMapping(odd, undefined)).toEqual({ mapping: undefined, problems: [] });
});

const payloads: readonly [string, Config, string, string | undefined][] = [
  ["an object with tricks for numbers", { expression: "value * 2" }, '{"valueOf":1,"toString":1}', undefined],
  [
    "an inner object with tricks",
    { path: "$.a", expression: "value - 1" },
    '{"a":{"toString":1}}',
    undefined,
  ],
  ["an inherited name", { path: "$.constructor" }, "{}", undefined],
  ["a quoted name with dots", { path: "$['a.b'][1]" }, '{"a.b":[1,2]}', "2"],
  ["JSON nested without end", { path: "$[0]" }, "[".repeat(200_000), undefined],
  ["deep JSON as a value", { path: "$" }, "[".repeat(200_000) + "]".repeat(200_000), undefined],
  ["deep JSON that is valid", {}, "[".repeat(100_000) + "]".repeat(100_000), undefined],
];

test.each(payloads)("%s does no harm", (_, config, payload, value) => {
  const { mapping } = readMapping(device({ topic: "t", ...config }), undefined);
  if (!mapping) throw new Error("no mapping");
  expect(readReport(mapping, "t", Buffer.from(payload)).values[0]?.value).toEqual(value as string);
});

const digits = "12345678901234567890";
const large: readonly [string, Config, string, string | undefined][] = [
  ["at a path", { path: "$.a[0]" }, `{"a":[${digits}]}`, digits],
  ["as the payload", {}, ` -${digits}\n`, `-${digits}`],
  [
    "in a part that is an object",
    { path: "$.a" },
    `{"a":{"b":${digits},"c":1.50}}`,
    `{"b":${digits},"c":1.5}`,
  ],
  ["handed on by an expression", { expression: "value > 5 ? text(value) : 0" }, digits, digits],
  ["beyond all numbers", {}, "9".repeat(400), "9".repeat(400)],
  ["calculated with", { expression: "value + 1" }, digits, undefined],
  ["written with an exponent", {}, "1.2345678901234567e19", undefined],
  ["that is just kept exactly", { expression: "value - 1" }, "9007199254740992", "9007199254740991"],
];

test.each(large)("an integer %s keeps its digits or is rejected", (_, config, payload, value) => {
  const { mapping } = readMapping(device({ topic: "t", ...config }), undefined);
  if (!mapping) throw new Error("no mapping");
  const problem = `no usable value in ${JSON.stringify(payload.slice(0, 100))} on t`;
  const rejected = value === undefined ? [{ name: "p", problem }] : [];
  const values = value === undefined ? [] : [{ name: "p", value, type: "string" }];
  expect(readReport(mapping, "t", Buffer.from(payload))).toEqual({ values, rejected, state: undefined });
});

test("a large number of a float property is calculated as floating point", () => {
  const model: DeviceModel = {
    metadata: { name: "m" },
    spec: { protocol: "mqtt", properties: [{ name: "p", type: "DOUBLE" }] },
  };
  const { mapping } = readMapping(device({ topic: "t", expression: "value / 10" }), model);
  if (!mapping) throw new Error("no mapping");
  const { values } = readReport(mapping, "t", Buffer.from(`1${"0".repeat(19)}`));
  expect(values).toEqual([{ name: "p", value: `1${"0".repeat(18)}`, type: "float" }]);
});

const rejected: readonly [string, Config, string, string[]][] = [
  [
    "a truth that is to be rounded",
    { expression: "round(value, 1)" },
    "true",
    ['p: no usable value in "true" on t'],
  ],
  [
    "an empty text that is a sum",
    { path: "$.a", expression: "value - 1" },
    '{"a":" "}',
    ['p: no usable value in "{\\"a\\":\\" \\"}" on t'],
  ],
  ["what is no JSON at a path", { path: "$.a" }, "nojson", []],
];

test.each(rejected)("%s is rejected with the text that was sent", (_, config, payload, problems) => {
  const { mapping } = readMapping(device({ topic: "t", ...config }), undefined);
  if (!mapping) throw new Error("no mapping");
  const found = readReport(mapping, "t", Buffer.from(payload));
  expect(found.values).toEqual([]);
  expect(found.rejected.map(({ name, problem }) => `${name}: ${problem}`)).toEqual(problems);
});

test("a state with a payload that the Device does not list is rejected", () => {
  const plain = device({ topic: "t" });
  const protocol = { protocolName: "mqtt", configData: { stateTopic: "lwt" } };
  const { mapping } = readMapping({ ...plain, spec: { ...plain.spec, protocol } }, undefined);
  if (!mapping) throw new Error("no mapping");
  const read = (text: string): unknown => {
    const { state, rejected: found } = readReport(mapping, "lwt", Buffer.from(text));
    return [state, ...found.map(({ name, problem }) => `${name}: ${problem}`)];
  };
  expect(read("online")).toEqual(["online"]);
  expect(read("")).toEqual([undefined]);
  expect(read("Online")).toEqual([undefined, 'the state: "Online" on lwt is neither "online" nor "offline"']);
});
