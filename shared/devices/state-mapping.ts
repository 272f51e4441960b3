import type { Template } from "#shared/jinja";
import { topicMatches } from "#shared/mqtt";
import { excerpt, type RejectedValue } from "#shared/devices/payloads";
import { filterProblem, oneOf, type ConfigLayer, type ConfigReader } from "#shared/devices/config";

/** Topics on which a device, or its broker by a will, reports that it is online. */
export interface StateMapping {
  readonly sources: readonly StateSource[];
  /** Which of them decide: all have to say online, any one of them, or the one that reported last. */
  readonly mode: "all" | "any" | "latest";
}

export interface StateSource {
  readonly topic: string;
  readonly template: Template | undefined;
  readonly online: string;
  readonly offline: string;
}

/** What the topics of a state said last, by their place in `sources`. */
export type StateMemory = Map<number, boolean>;

export const stateKeys = [
  "stateTopic",
  "stateTemplate",
  "onlinePayload",
  "offlinePayload",
  "availability",
  "availabilityMode",
];
const sourceKeys = ["topic", "template", "onlinePayload", "offlinePayload"];
/** Topics of one device. */
const mostSources = 10;

export function readStates(reader: ConfigReader, layers: readonly ConfigLayer[]): StateMapping | undefined {
  const mode = reader.text(layers, "availabilityMode", oneOf(["all", "any", "latest"]));
  const entries = reader.entries(layers, "availability", mostSources);
  const sources = entries
    ? entries.map((entry) => {
        reader.misspelled(entry, sourceKeys);
        return readState(reader, [entry], { topic: "topic", template: "template" });
      })
    : [readState(reader, layers, { topic: "stateTopic", template: "stateTemplate" })];
  const usable = sources.filter((source) => source !== undefined);
  // Without one of its topics the state could be wrong.
  if (usable.length === 0 || usable.length < sources.length) return undefined;
  return { sources: usable, mode: mode === "all" || mode === "any" ? mode : "latest" };
}

function readState(
  reader: ConfigReader,
  layers: readonly ConfigLayer[],
  names: { readonly topic: string; readonly template: string },
): StateSource | undefined {
  const before = reader.problems.length;
  const topic = reader.text(layers, names.topic, filterProblem);
  const template = reader.template(layers, names.template, ["value", "value_json"]);
  const online = reader.text(layers, "onlinePayload") ?? "online";
  const offline = reader.text(layers, "offlinePayload") ?? "offline";
  if (topic === undefined || reader.problems.length > before) return undefined;
  return { topic, template, online, offline };
}

export interface StateReport {
  readonly state: "online" | "offline" | undefined;
  readonly rejected: readonly RejectedValue[];
}

/** @param memory is changed: what the other topics said decides, too */
export function reportState(
  mapping: StateMapping | undefined,
  topic: string,
  text: string,
  memory: StateMemory,
): StateReport {
  const rejected: RejectedValue[] = [];
  let isReported = false;
  // An empty payload clears a retained message.
  for (const [index, source] of text === "" ? [] : (mapping?.sources ?? []).entries()) {
    if (!topicMatches(source.topic, topic)) continue;
    const said = payloadOf(source, text);
    const isOnline = said === source.online;
    if (isOnline || said === source.offline) {
      memory.set(index, isOnline);
      isReported = true;
    } else if (said !== undefined)
      rejected.push({ name: "the state", problem: problemOf(source, topic, said) });
  }
  return { state: mapping && isReported ? decide(mapping, topic, memory) : undefined, rejected };
}

/** @returns undefined when the payload does not have a state */
function payloadOf({ template }: StateSource, text: string): string | undefined {
  if (!template) return text;
  const rendered = template.render({ value: text });
  if (rendered.kind === "text") return rendered.text;
  return rendered.kind === "none" ? undefined : text;
}

function decide(
  { sources, mode }: StateMapping,
  topic: string,
  memory: StateMemory,
): "online" | "offline" | undefined {
  if (mode === "latest") {
    const last = sources.findLastIndex((source) => topicMatches(source.topic, topic));
    return memory.get(last) === true ? "online" : "offline";
  }
  const said = sources.map((_, index) => memory.get(index));
  const decisive = mode === "any";
  if (said.includes(decisive)) return decisive ? "online" : "offline";
  if (said.includes(undefined)) return undefined;
  return decisive ? "offline" : "online";
}

function problemOf({ online, offline }: StateSource, topic: string, said: string): string {
  return `${excerpt(said)} on ${topic} is neither ${excerpt(online)} nor ${excerpt(offline)}`;
}
