import { cloudFields } from "./cloud-fields.ts";
import { edgeFields } from "./edge-fields.ts";
import type { Field, Section, Tree } from "./field.ts";

const width = 100;

/** `cloudcore --defaultconfig` and `conf/controller.yaml`. */
export function cloudDefaults(): string {
  const heading = ["Configuration of cloudcore. Every field is optional; what stands here are the defaults."];
  return renderYaml(heading, cloudFields);
}

/** `edgecore --defaultconfig` and `conf/edge.yaml`. */
export function edgeDefaults(): string {
  const heading = ["Configuration of edgecore. Every field is optional; what stands here are the defaults."];
  return renderYaml(heading, edgeFields);
}

export function cloudMinimum(): string {
  return `# What cloudcore usually needs to be told; \`cloudcore --defaultconfig\` shows everything.
cloudhub:
  # Addresses and names under which edge nodes reach this machine.
  advertise: []
`;
}

export function edgeMinimum(): string {
  return `# What edgecore usually needs to be told; \`edgecore --defaultconfig\` shows everything.
edgehub:
  # Host or host:port of cloudcore.
  server: 127.0.0.1
  # What \`cloudcore token\` prints; needed once.
  token: ""
`;
}

/** Markdown tables of all fields. */
export function cloudTable(): string {
  return renderTable(cloudFields);
}

export function edgeTable(): string {
  return renderTable(edgeFields);
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
  if (node.kind === "field") return [...comment, `${indent}${key}: ${scalar(node.fallback)}`];
  const inner = Object.entries(node.children).flatMap(([name, child]) =>
    renderNode(name, child, `${indent}  `),
  );
  return [...comment, `${indent}${key}:`, ...inner];
}

/** One row a field: `| mqtt.mode | 0 | … |`. */
function renderTable(tree: Tree): string {
  const rows = Object.entries(tree).flatMap(([key, node]) => tableRows(key, node));
  return ["| field | default | meaning |", "| --- | --- | --- |", ...rows].join("\n");
}

function tableRows(path: string, node: Field<unknown> | Section<Tree>): string[] {
  if (node.kind === "section")
    return Object.entries(node.children).flatMap(([key, child]) => tableRows(`${path}.${key}`, child));
  const doc = node.doc.replaceAll("|", "\\|").replaceAll("<", "&lt;");
  return [`| \`${path}\` | \`${scalar(node.fallback)}\` | ${doc} |`];
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
