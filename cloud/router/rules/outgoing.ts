import { fillText, type Parameters, type RuleTarget } from "#shared/rules";

type Topic = Extract<RuleTarget, { kind: "eventbus" }>;
type Service = Extract<RuleTarget, { kind: "servicebus" }>;
type Url = Extract<RuleTarget, { kind: "rest" }>;

/** Bytes of a topic in MQTT 3.1.1 (1.5.3). */
const longestTopic = 65_535;

/** The topic with what follows the path of the rule. @returns undefined when a part cannot be in a topic */
export function topicOf(
  { topic }: Topic,
  parameters: Parameters,
  rest: readonly string[] = [],
): string | undefined {
  const values = [...Object.values(parameters), ...rest];
  if (values.some((value) => /[+#/\0]/.test(value))) return undefined;
  const filled = [fillText(topic, parameters, (value) => value), ...rest].join("/");
  return filled.startsWith("$") || Buffer.byteLength(filled) > longestTopic ? undefined : filled;
}

export interface PathEnd {
  readonly rest: readonly string[];
  readonly endsWithSlash: boolean;
  readonly query: string;
}

/** Path and query for the server on the node: that of the rule, then what follows in the request, escaped again. */
export function servicePath({ path }: Service, parameters: Parameters, end: PathEnd): string {
  const base = fillText(path, parameters, encodeURIComponent).replace(/\/$/, "");
  const more = end.rest.map((part) => `/${encodeURIComponent(part)}`).join("");
  const isOpen = end.endsWithSlash || (end.rest.length === 0 && path.endsWith("/"));
  return `${base}${more}${isOpen || base + more === "" ? "/" : ""}${end.query}`;
}

export function urlOf({ url }: Url, parameters: Parameters): string {
  return fillText(url, parameters, encodeURIComponent);
}
