/** One part of a template between slashes: a text, or a placeholder `{name}` for one part. */
export type TemplatePart = { readonly text: string } | { readonly name: string };

export type Parameters = Readonly<Record<string, string>>;

/** Unreserved characters and sub-delims of RFC 3986, so that a part needs no escapes; braces around a name alone. */
const textPart = /^[\w\-.~!$&'()*+,;=:@]+$/;
const namePart = /^\{([A-Za-z_]\w{0,62})\}$/;
/** As many levels as an MQTT topic filter may have here. */
const mostParts = 50;
const longestTemplate = 1024;

/** Reads `/rooms/{room}/light`; slashes at both ends do not count. @returns undefined when it is no template of a path */
export function parseTemplate(template: string): readonly TemplatePart[] | undefined {
  if (template.length > longestTemplate) return undefined;
  const trimmed = trimSlashes(template);
  if (trimmed === "") return [];
  const parts = trimmed.split("/").map(readPart);
  if (parts.length > mostParts || !parts.every((part) => part !== undefined)) return undefined;
  const names = namesOf(parts);
  return new Set(names).size === names.length ? parts : undefined;
}

function trimSlashes(text: string): string {
  const start = text.startsWith("/") ? 1 : 0;
  return text.slice(start, text.length > start && text.endsWith("/") ? -1 : undefined);
}

function readPart(part: string): TemplatePart | undefined {
  const name = namePart.exec(part)?.[1];
  if (name !== undefined) return { name };
  return part === "." || part === ".." || !textPart.test(part) ? undefined : { text: part };
}

export function namesOf(parts: readonly TemplatePart[]): string[] {
  return parts.flatMap((part) => ("name" in part ? [part.name] : []));
}

export interface TemplateMatch {
  readonly parameters: Parameters;
  /** the parts behind the template */
  readonly rest: readonly string[];
}

/** Compares part by part, so that no text of a rule or a client is ever a regular expression. */
export function matchTemplate(
  template: readonly TemplatePart[],
  parts: readonly string[],
): TemplateMatch | undefined {
  if (parts.length < template.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, wanted] of template.entries()) {
    const part = parts[index] ?? "";
    if ("name" in wanted) parameters[wanted.name] = part;
    else if (wanted.text !== part) return undefined;
  }
  return { parameters, rest: parts.slice(template.length) };
}

/** The same for two templates that match the same paths. */
export function shapeOf(template: readonly TemplatePart[]): string {
  return template.map((part) => ("name" in part ? "{}" : part.text)).join("/");
}

/** Orders templates of which the first that matches is meant: longer ones before shorter ones, texts before placeholders. */
export function compareTemplates(left: readonly TemplatePart[], right: readonly TemplatePart[]): number {
  if (left.length !== right.length) return right.length - left.length;
  for (const [index, part] of left.entries()) {
    const difference = Number("name" in part) - Number("name" in (right[index] ?? part));
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Puts values in the place of `{name}` anywhere in a text. */
export function fillText(text: string, parameters: Parameters, write: (value: string) => string): string {
  return text.replaceAll(/\{([A-Za-z_]\w{0,62})\}/g, (placeholder, name: string) =>
    Object.hasOwn(parameters, name) ? write(parameters[name] ?? "") : placeholder,
  );
}

/** The names of the placeholders in a text. */
export function namesIn(text: string): string[] {
  return [...text.matchAll(/\{([A-Za-z_]\w{0,62})\}/g)].map((match) => match[1] ?? "");
}
