import { nearest } from "#shared/errors";
import { isTopicFilter } from "#shared/mqtt";
import { isPath } from "#shared/devices/expressions";

/** Finds a placeholder left after the names of the Device were filled in. */
function placeholderProblem(topic: string): string | undefined {
  const [all, word = ""] = /\{(\w*)\}/.exec(topic) ?? [];
  if (all === undefined) return undefined;
  const hint = nearest(word, ["name", "namespace"]);
  return `has the unknown placeholder ${all}, ${hint === undefined ? "expected {name} or {namespace}" : `did you mean {${hint}}?`}`;
}

/** Rule for `setPayload`: only `{{value}}` and `{{name}}` are replaced. */
export function payloadProblem(text: string): string | undefined {
  for (const [all, word = ""] of text.matchAll(/\{\{\s*([A-Za-z_][^{}"]*?)\s*\}\}/g)) {
    if (word === "value" || word === "name") continue;
    const hint = nearest(word, ["value", "name"]);
    return `has the unknown placeholder ${all}, ${hint === undefined ? "expected {{value}} or {{name}}" : `did you mean {{${hint}}}?`}`;
  }
  return undefined;
}

/** Rule for topics that are subscribed to. */
export function filterProblem(text: string): string | undefined {
  if (text.startsWith("$")) return "must not start with $: such topics are not for devices";
  return isTopicFilter(text)
    ? placeholderProblem(text)
    : "must be an MQTT topic filter: + stands for one whole level, # for all that follow";
}

/** Rule for topics that are published to. */
export function topicProblem(text: string): string | undefined {
  if (text.startsWith("$")) return "must not start with $: such topics are not for devices";
  return isTopicFilter(text) && !/[+#]/.test(text)
    ? placeholderProblem(text)
    : "must be an MQTT topic without wildcards";
}

/** Rule for the path into a JSON payload; see `readPath`. */
export function pathProblem(text: string): string | undefined {
  return isPath(text) ? undefined : "must be a path such as $.sensors[0].temp or $['odd name']";
}

/** Rule for a field with a few words. */
export function oneOf(words: readonly string[]): (text: string) => string | undefined {
  return (text) => (words.includes(text) ? undefined : `must be one of ${words.join(", ")}`);
}
