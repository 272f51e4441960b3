import type { Template } from "#shared/jinja";
import { binaryTypes, type BinaryField, type NumberFormat } from "#shared/devices/payloads";
import type { Expression } from "#shared/devices/expressions";
import {
  filterProblem,
  oneOf,
  pathProblem,
  type ConfigLayer,
  type ConfigReader,
} from "#shared/devices/config";

/** One way in which the value of a property arrives. */
export interface SourceMapping {
  /** Filter of its topics. */
  readonly topic: string;
  /** Of which messages it is; undefined: of all. */
  readonly when: Expression | undefined;
  readonly template: Template | undefined;
  readonly binary: BinaryField | undefined;
  /** The bytes of the payload are the value, as base64. */
  readonly isBytes: boolean;
  readonly path: string | undefined;
  readonly expression: Expression | undefined;
  /** What means true and false; undefined: the usual words. */
  readonly on: string | undefined;
  readonly off: string | undefined;
  /** Values by payload; undefined: any payload is a value. */
  readonly payloads: ReadonlyMap<string, string> | undefined;
  readonly number: NumberFormat;
}

/** Keys of `configData` about the reading of a property. */
export const sourceKeys = [
  "topic",
  "when",
  "path",
  "expression",
  "template",
  "binary",
  "offset",
  "byteOrder",
  "wordOrder",
  "length",
  "bit",
  "unit",
  "decimalSeparator",
  "onPayload",
  "offPayload",
  "payloads",
];

/** Ways in which one property may arrive. */
const mostSources = 20;

interface SourceContext {
  /** The protocol's `configData`, with the topic that properties share. */
  readonly common: ConfigLayer | undefined;
  readonly isBytes: boolean;
  /** Of the property in its model. */
  readonly unit: string | undefined;
}

/** The ways in which a property is read. One with a field that cannot be used is left out. */
export function readSources(
  reader: ConfigReader,
  layers: readonly ConfigLayer[],
  context: SourceContext,
): SourceMapping[] {
  const entries = reader.entries(layers, "sources", mostSources);
  if (!entries) return [readSource(reader, layers, context)].filter((source) => source !== undefined);
  return entries.flatMap((entry) => {
    reader.misspelled(entry, sourceKeys);
    // What all ways have in common, such as the unit, is given beside the list.
    return readSource(reader, [entry, ...layers], context) ?? [];
  });
}

function readSource(
  reader: ConfigReader,
  layers: readonly ConfigLayer[],
  { common, isBytes, unit }: SourceContext,
): SourceMapping | undefined {
  const before = reader.problems.length;
  const path = reader.text(layers, "path", pathProblem);
  const expression = reader.expression(layers);
  const template = reader.template(layers, "template", ["value", "value_json"]);
  const binary = readBinaryField(reader, layers);
  const when = reader.expression(layers, "when");
  const ownTopic = reader.text(layers, "topic", filterProblem);
  const separator = reader.text(layers, "decimalSeparator", oneOf([".", ","]));
  const [on, off] = [reader.text(layers, "onPayload"), reader.text(layers, "offPayload")];
  const payloads = reader.texts(layers, "payloads");
  const ownUnit = reader.text(layers, "unit");
  if (reader.problems.length > before) return undefined;
  // The topic of the device carries several values: without one of these none of them is meant.
  const isPart = [path, expression, template, binary].some((part) => part !== undefined);
  const topic = ownTopic ?? (isPart && common ? reader.text([common], "topic", filterProblem) : undefined);
  if (topic === undefined) return undefined;
  return {
    topic,
    when,
    template,
    binary,
    isBytes: isBytes && !isPart,
    path,
    expression,
    on,
    off,
    payloads,
    number: { unit: ownUnit ?? unit, decimalSeparator: separator === "," ? "," : "." },
  };
}

function readBinaryField(reader: ConfigReader, layers: readonly ConfigLayer[]): BinaryField | undefined {
  const type = reader.text(layers, "binary", oneOf(binaryTypes));
  const offset = reader.count(layers, "offset") ?? 0;
  const length = reader.count(layers, "length");
  const bit = reader.count(layers, "bit");
  const order = oneOf(["big", "little"]);
  const littleBytes = reader.text(layers, "byteOrder", order) === "little";
  const wordOrder = reader.text(layers, "wordOrder", order);
  if (type === undefined) return undefined;
  return {
    // One of the types, by the rule.
    type: type as BinaryField["type"],
    offset,
    littleBytes,
    littleWords: wordOrder === undefined ? littleBytes : wordOrder === "little",
    length,
    bit,
  };
}
