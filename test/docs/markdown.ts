import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

export const root = resolve(import.meta.dir, "../..");

/** A comment right above a fenced block: what tests do with it: `<!-- run: demo -->`. */
export interface Marker {
  readonly name: string;
  readonly value: string;
}

/** A fenced block of a page. */
export interface Block {
  readonly language: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  readonly text: string;
  readonly markers: readonly Marker[];
}

export interface Page {
  /** Relative to the root of the checkout. */
  readonly file: string;
  readonly text: string;
  readonly blocks: readonly Block[];
}

export interface Link {
  readonly line: number;
  readonly target: string;
}

/** Every Markdown file that belongs to the documentation. */
export function readPages(): Page[] {
  const top = readdirSync(root).filter((name) => name.endsWith(".md"));
  const below = [...new Bun.Glob("docs/**/*.md").scanSync({ cwd: root })].toSorted();
  return [...top, ...below].map((file) => {
    const text = readFileSync(join(root, file), "utf8");
    return { file, text, blocks: blocksOf(text) };
  });
}

/** @throws Error when a fence is not closed */
export function blocksOf(text: string): Block[] {
  const lines = text.split("\n");
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const fence = /^( *)```(\S*)$/.exec(lines[at] ?? "");
    if (fence === null) continue;
    const [, indent = "", language = ""] = fence;
    const end = lines.indexOf(`${indent}\`\`\``, at + 1);
    if (end === -1) throw new Error(`line ${at + 1}: the block is not closed`);
    const body = lines.slice(at + 1, end).map((line) => line.slice(Math.min(indent.length, line.length)));
    blocks.push({
      language,
      line: at + 1,
      text: `${body.join("\n")}\n`,
      markers: markersAbove(lines, at),
    });
    at = end;
  }
  return blocks;
}

/** The comments between a block and the last line of prose above it, in their order. */
function markersAbove(lines: readonly string[], fence: number): Marker[] {
  const markers: Marker[] = [];
  for (let at = fence - 1; at >= 0; at -= 1) {
    const line = lines[at]?.trim() ?? "";
    const marker = /^<!-- ([a-z ]+): (.*) -->$/.exec(line);
    if (marker !== null) markers.unshift({ name: marker[1] ?? "", value: marker[2] ?? "" });
    else if (line !== "") break;
  }
  return markers;
}

export function valuesOf(block: Block, name: string): string[] {
  return block.markers.filter((marker) => marker.name === name).map(({ value }) => value);
}

/** A page without its fenced blocks and inline code, with as many lines. */
export function proseOf(page: Page): string {
  let inside = false;
  const lines = page.text.split("\n").map((line) => {
    const fence = /^ *```/.test(line);
    if (fence) inside = !inside;
    return inside || fence ? "" : line.replaceAll(/`[^`]*`/g, "``");
  });
  return lines.join("\n");
}

export function linksOf(page: Page): Link[] {
  return proseOf(page)
    .split("\n")
    .flatMap((line, index) =>
      [...line.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => ({ line: index + 1, target: match[1] ?? "" })),
    );
}

/** Anchors as GitHub makes them of headings; one that comes twice gets a number. */
export function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  let inside = false;
  for (const line of text.split("\n")) {
    if (/^ *```/.test(line)) inside = !inside;
    const heading = inside ? undefined : /^#{1,6} (.+)$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const anchor = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-");
    const times = seen.get(anchor) ?? 0;
    seen.set(anchor, times + 1);
    anchors.add(times === 0 ? anchor : `${anchor}-${times}`);
  }
  return anchors;
}

/** Where a relative link leads: a file of the checkout, and a heading in it. */
export function destination(page: Page, target: string): { readonly file: string; readonly anchor: string } {
  const [path = "", anchor = ""] = target.split("#");
  const file = path === "" ? page.file : relative(root, resolve(root, dirname(page.file), path));
  return { file, anchor };
}
