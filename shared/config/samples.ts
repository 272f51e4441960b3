import { cloudFields } from "./cloud-fields.ts";
import { edgeFields } from "./edge-fields.ts";
import type { Field, Section, Tree } from "./field.ts";

const width = 100;
const referenceWidth = 118;

/** `cloudcore --defaultconfig` and `conf/controller.yaml`. */
export function cloudDefaults(): string {
  const heading = ["Configuration of cloudcore. Every field is optional; the values below are the defaults."];
  return renderYaml(heading, cloudFields);
}

/** `edgecore --defaultconfig` and `conf/edge.yaml`. */
export function edgeDefaults(): string {
  const heading = ["Configuration of edgecore. Every field is optional; the values below are the defaults."];
  return renderYaml(heading, edgeFields);
}

export function cloudMinimum(): string {
  return `# The fields usually set for cloudcore; \`cloudcore --defaultconfig\` prints all.
cloudhub:
  # Addresses and names under which edge nodes reach this machine.
  advertise: []
`;
}

export function edgeMinimum(): string {
  return `# The fields usually set for edgecore; \`edgecore --defaultconfig\` prints all.
edgehub:
  # Host or host:port of cloudcore.
  server: 127.0.0.1
  # Join token (\`cloudcore token\`), needed once.
  token: ""
`;
}

/** Every field with default and meaning, as Markdown for docs/configuration.md. */
export function cloudReference(): string {
  return renderReference(cloudFields);
}

export function edgeReference(): string {
  return renderReference(edgeFields);
}

/** A file with every field at its default, each with what it means above it. */
function renderYaml(heading: readonly string[], tree: Tree): string {
  const lines = [...heading.map((line) => `# ${line}`), ""];
  for (const [key, node] of Object.entries(tree)) {
    lines.push(...renderNode(key, node, ""));
    lines.push("");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

function renderNode(key: string, node: Field<unknown> | Section<Tree>, indent: string): string[] {
  const comment = wrap(node.doc, width - indent.length - 2).map((line) => `${indent}# ${line}`);
  if (node.kind === "field") return [...comment, ...renderValue(key, node.fallback, indent)];
  const inner = Object.entries(node.children).flatMap(([name, child]) =>
    renderNode(name, child, `${indent}  `),
  );
  return [...comment, `${indent}${key}:`, ...inner];
}

/** Names with values stand below each other: they may be many. */
function renderValue(key: string, value: unknown, indent: string): string[] {
  const entries = typeof value === "object" && !Array.isArray(value) ? Object.entries(value ?? {}) : [];
  if (entries.length === 0) return [`${indent}${key}: ${scalar(value)}`];
  return [`${indent}${key}:`, ...entries.map(([name, one]) => `${indent}  ${name}: ${scalar(one)}`)];
}

/** A heading for each section and an item for each field: "- `mqtt.mode` (`0`): …". */
function renderReference(tree: Tree): string {
  return referenceOf("", tree)
    .join("\n")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim();
}

function referenceOf(path: string, tree: Tree): string[] {
  const nodes = Object.entries(tree).map(
    ([key, node]) => [path === "" ? key : `${path}.${key}`, node] as const,
  );
  const fields = nodes.flatMap(([name, node]) => (node.kind === "field" ? referenceItem(name, node) : []));
  const sections = nodes.flatMap(([name, node]) =>
    node.kind === "field"
      ? []
      : ["", `### ${name}`, "", asMarkdown(node.doc), "", ...referenceOf(name, node.children)],
  );
  return [...fields, ...sections];
}

function referenceItem(name: string, { doc, fallback }: Field<unknown>): string[] {
  const text = `- \`${name}\` (\`${scalar(fallback)}\`): ${asMarkdown(doc)}`;
  return wrap(text, referenceWidth).map((line, index) => (index === 0 ? line : `  ${line}`));
}

/** What would be a tag in Markdown stays text. */
function asMarkdown(doc: string): string {
  return doc.replaceAll("<", "&lt;");
}

function scalar(value: unknown): string {
  if (
    typeof value === "string" &&
    /^[A-Za-z/][\w/.:-]*$/.test(value) &&
    !/^(true|false|null|yes|no)$/i.test(value)
  )
    return value;
  return JSON.stringify(value);
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
