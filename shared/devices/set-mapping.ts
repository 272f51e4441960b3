import type { Template } from "#shared/jinja";
import { payloadProblem, topicProblem, type ConfigLayer, type ConfigReader } from "#shared/devices/config";

/** How a desired value is published. */
export interface SetMapping {
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
  /** Payloads for true and false; undefined: as `payload`. */
  readonly on: string | undefined;
  readonly off: string | undefined;
  /** Payloads by desired value; undefined: any value is sent. */
  readonly payloads: ReadonlyMap<string, string> | undefined;
  /** Makes the payload in place of `payload`; `value` is the desired value, or `on` or `off`. */
  readonly template: Template | undefined;
  /** of the twin: decides what `value` is in the template */
  readonly type: string;
  /** The desired value is base64, and its bytes are published. */
  readonly isBytes: boolean;
}

/** Keys of `configData` about desired values. */
export const setKeys = [
  "setTopic",
  "setPayload",
  "setPayloads",
  "setRetain",
  "setOn",
  "setOff",
  "setTemplate",
];

/**
 * Names that a command template may read. Those after the first two are of Home Assistant's lights, whose templates ask
 * whether they are defined: they never are, unless the template sets them.
 */
export const commandNames: readonly string[] = [
  "value",
  "name",
  "state",
  "brightness",
  "color_temp",
  "color_temp_kelvin",
  "red",
  "green",
  "blue",
  "hue",
  "sat",
  "white",
  "effect",
  "flash",
  "transition",
];

export function readSet(
  reader: ConfigReader,
  layers: readonly ConfigLayer[],
  { type, isBytes }: { readonly type: string; readonly isBytes: boolean },
): SetMapping | undefined {
  const before = reader.problems.length;
  const topic = reader.text(layers, "setTopic", topicProblem);
  const payload = reader.text(layers, "setPayload", payloadProblem);
  const on = reader.text(layers, "setOn");
  const off = reader.text(layers, "setOff");
  const retain = reader.flag(layers, "setRetain");
  const template = reader.template(layers, "setTemplate", commandNames);
  const payloads = reader.texts(layers, "setPayloads");
  if (topic === undefined || reader.problems.length > before) return undefined;
  return {
    topic,
    payload: payload ?? "{{value}}",
    retain: retain ?? false,
    on,
    off,
    payloads,
    template,
    type,
    isBytes: isBytes && payload === undefined && template === undefined,
  };
}
