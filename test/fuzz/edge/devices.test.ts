import * as fc from "fast-check";
import {
  modelPropertyProblems,
  readMapping,
  readReport,
  sanitizeDevice,
  translateTemplate,
} from "#shared/devices";
import type { Device, DeviceModel } from "#shared/kube";
import { compareQuantities, formatQuantity, parseQuantity, quantityNumber } from "#shared/kube";
import { isPath, parseExpression, readPath } from "#internal/shared/devices/expressions/expression.ts";
import { fuzz, within } from "#internal/test/fuzz/fuzzing.ts";
import { json, textOf } from "#internal/test/fuzz/json-values.ts";

const expressionText = textOf(
  "value",
  "1",
  "2.5",
  "'a'",
  '"b"',
  "+",
  "-",
  "*",
  "/",
  "%",
  "(",
  ")",
  "<",
  "==",
  "!=",
  "&&",
  "||",
  "!",
  "?",
  ":",
  "round(",
  "min(",
  "max(",
  "number(",
  "text(",
  "lower(",
  "upper(",
  ",",
  " ",
  "true",
  "constructor",
  "__proto__",
  "1e309",
  ".",
);

fuzz("expressions", () =>
  fc.property(
    expressionText,
    json,
    textOf("$", ".", "a", "[", "0", "]", "'", '"', "__proto__", "length"),
    (text, value, path) => {
      if (isPath(path)) readPath(value, path);
      else readPath(JSON.stringify(value), path);
      const expression = within(500, () => unlessSyntax(() => parseExpression(text)));
      if (expression) within(500, () => expression(value));
    },
  ),
);

function unlessSyntax<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

fuzz("templates", () =>
  fc.property(
    fc.oneof(
      textOf(
        "value_json",
        ".a",
        "['b']",
        "[0]",
        "value",
        "|",
        "float",
        "int",
        "round(",
        "1",
        ")",
        " if ",
        " else ",
        "and",
        "or",
        "not",
        "+",
        "-",
        "*",
        "/",
        "==",
        "<",
        " ",
        "'x'",
        '"',
        "(",
        "abs",
        "lower",
      ),
      fc.string({ unit: "binary", maxLength: 40 }),
    ),
    fc.boolean(),
    json,
    (inner, bare, value) => {
      const translated = within(500, () => translateTemplate(bare ? inner : `{{ ${inner} }}`));
      if (!translated.ok) return;
      const part = translated.path === undefined ? value : readPath(value, translated.path);
      parseExpression(translated.expression)(part);
    },
  ),
);

const configData = fc.record(
  {
    topic: fc.oneof(
      fc.constantFrom("t/a", "t/+", "t/#", "{name}/x"),
      textOf("t", "/", "+", "#", "{name}"),
      json,
    ),
    path: fc.oneof(fc.constantFrom("$.a", "a.b", "$['x']"), textOf("$", ".", "a", "[0]"), json),
    expression: fc.oneof(expressionText, json),
    setTopic: fc.oneof(fc.constantFrom("s/a"), json),
    setPayload: fc.oneof(fc.constantFrom("{{value}}"), json),
    setRetain: json,
    setOn: json,
    setOff: json,
  },
  { requiredKeys: [] },
);
const property = fc.record(
  {
    name: fc.oneof(fc.constantFrom("p", "q", "__proto__"), json),
    type: fc.constantFrom("INT", "FLOAT", "BOOLEAN", "STRING", "x"),
    visitors: fc.record({ configData }),
    desired: fc.record({ value: json }, { requiredKeys: [] }),
  },
  { requiredKeys: ["name"] },
);

/** Devices as somebody may have stored them: on a real cluster only the schema of the CRD was looked at. */
const device = fc.record({
  metadata: fc.record({ name: fc.constant("d"), namespace: fc.constant("default") }),
  spec: fc.record(
    {
      protocol: fc.record({
        protocolName: fc.constantFrom("mqtt", "MQTT", "x"),
        configData: fc.oneof(
          configData,
          fc.record({
            stateTopic: fc.constantFrom("s/d", "#"),
            onlinePayload: fc.string(),
            offlinePayload: fc.string(),
          }),
        ),
      }),
      properties: fc.array(property, { maxLength: 4 }),
    },
    { requiredKeys: ["protocol"] },
  ),
});

fuzz("device reports", () =>
  fc.property(
    device,
    fc.array(property, { maxLength: 3 }),
    fc.constantFrom("t/a", "t/b", "s/d", "d/x"),
    fc.oneof(
      json.map((value) => JSON.stringify(value)),
      fc.string({ unit: "binary" }),
      fc.nat(20_000).map((depth) => "[".repeat(depth)),
    ),
    (given, properties, topic, payload) => {
      const model = sanitizeDevice({
        metadata: { name: "m" },
        spec: { properties },
      } as unknown as DeviceModel);
      const sound = sanitizeDevice(given as unknown as Device);
      modelPropertyProblems(model);
      const { mapping } = within(1000, () => readMapping(sound, model));
      if (!mapping) return;
      const report = within(1000, () => readReport(mapping, topic, Buffer.from(payload)));
      for (const { value } of report.values)
        if (typeof value !== "string" || value.length > 16_384)
          throw new Error(`took ${JSON.stringify(value)}`);
    },
  ),
);

const suffix = fc.constantFrom(
  "",
  "n",
  "u",
  "m",
  "k",
  "M",
  "G",
  "T",
  "P",
  "E",
  "Ki",
  "Mi",
  "Gi",
  "Ti",
  "Pi",
  "Ei",
  "e3",
  "E-2",
  "e",
  "K",
);
const quantity = fc.oneof(
  fc
    .tuple(
      fc.constantFrom("", "-", "+"),
      fc.nat(),
      fc.constantFrom("", ".", ".5", ".000000001", ".123456789123"),
      suffix,
    )
    .map((parts) => parts.join("")),
  textOf("1", "0", ".", "-", "+", "e", "E", "m", "Ki", "9999999999", " "),
);

fuzz("quantities", () =>
  fc.property(quantity, quantity, (one, other) => {
    const [exact, about] = [parseQuantity(one), quantityNumber(one)];
    if (!exact) return;
    if (about === undefined) throw new Error(`${one} is a quantity in the cloud and none on a node`);
    const nano = Number(exact.nano) / 1e9;
    const isCapped = Math.abs(about) > 9.2e18;
    if (!isCapped && Math.abs(nano - about) > Math.abs(about) * 1e-9 + 2e-9)
      throw new Error(`${one} is ${nano} and ${about}`);
    const again = parseQuantity(formatQuantity(exact));
    // Parts of a nano unit are rounded up, and so are those of a byte when written with a binary suffix.
    const isRounded = exact.format === "binary" && exact.nano % 1_000_000_000n !== 0n;
    if (!again || (again.nano !== exact.nano && !isRounded))
      throw new Error(`${one} is written ${formatQuantity(exact)}`);
    const second = parseQuantity(other);
    if (second && compareQuantities(exact, second) !== -compareQuantities(second, exact))
      throw new Error(`${one} and ${other}`);
  }),
);
