import { loadAll, YAMLException } from "js-yaml";

/**
 * The first key that a map of a YAML text has twice, as Go's parser reports it: `line 11: key "foo" already set in map`. The parser
 * of the runtime does not; the text has been parsed by it, and other faults that only this one finds are no concern here.
 */
export function duplicateYamlKey(text: string): string | undefined {
  try {
    loadAll(text);
    return undefined;
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    if (error.reason !== "duplicated mapping key") return undefined;
    const { line, position } = error.mark;
    const [key = ""] = /^[^:\n]*/.exec(text.slice(position)) ?? [];
    return `line ${line + 1}: key ${JSON.stringify(key.trim().replaceAll(/^["']|["']$/g, ""))} already set in map`;
  }
}
