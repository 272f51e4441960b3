import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readVersion } from "#internal/scripts/release/compile.ts";
import { cloudRefusal, edgeRefusal } from "#internal/test/shared/config/files.ts";
import {
  anchorsOf,
  destination,
  linksOf,
  proseOf,
  readPages,
  root,
  valuesOf,
  type Block,
} from "./markdown.ts";
import { machines } from "./demo-view.ts";

const pages = readPages();
const each = pages.map((page) => [page.file, page] as const);

const known = new Set(["run", "not run", "expect", "exit", "config", "manifest", "not checked"]);

function markerProblem(block: Block): string | undefined {
  const names = block.markers.map(({ name }) => name);
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) return `unknown marker "${unknown}"`;
  if (block.language === "sh") return shellProblem(block, names);
  if (["yaml", "json"].includes(block.language))
    return names.length === 1 ? undefined : "needs one marker: config, manifest or not checked";
  return names.length === 0 ? undefined : `has markers but is no sh, yaml or json block`;
}

function shellProblem(block: Block, names: readonly string[]): string | undefined {
  const [machine] = valuesOf(block, "run");
  const [reason] = valuesOf(block, "not run");
  if ((machine === undefined) === (reason === undefined)) return "needs either run or not run";
  if (reason !== undefined) return reason.length > 9 ? undefined : "needs a reason not to be run";
  if (!machines.some((one) => one === machine)) return `run: expected ${machines.join(", ")}`;
  return names.every((name) => ["run", "expect", "exit"].includes(name)) ? undefined : "has odd markers";
}

/** `conf/*.yaml`, and `cloud/api*` for folders. */
function hasMatch(pattern: string): boolean {
  const options = { cwd: root, onlyFiles: false };
  return [...new Bun.Glob(pattern).scanSync(options)].length > 0;
}

describe("documentation", () => {
  test.each(each)("%s marks how every block of commands or configuration is checked", (file, page) => {
    const problems = page.blocks.flatMap((block) => {
      const problem = markerProblem(block);
      return problem === undefined ? [] : [`${file}:${block.line}: ${problem}`];
    });
    expect(problems).toEqual([]);
  });

  test.each(each)("%s has links that lead somewhere", (_file, page) => {
    const broken = linksOf(page).filter(({ target }) => {
      if (/^(https?|mailto):/.test(target)) return false;
      const { file, anchor } = destination(page, target);
      const path = join(root, file);
      if (!existsSync(path)) return true;
      return (
        anchor !== "" && (statSync(path).isDirectory() || !anchorsOf(readFileSync(path, "utf8")).has(anchor))
      );
    });
    expect(broken).toEqual([]);
  });

  test.each(each)("%s has examples of configuration that load", (file, page) => {
    const refusals = page.blocks.flatMap((block) => {
      const [half] = valuesOf(block, "config");
      if (half === undefined) return [];
      const said = half === "cloud" ? cloudRefusal(block.text) : edgeRefusal(block.text);
      return said === "accepted" ? [] : [`${file}:${block.line}: ${said}`];
    });
    expect(refusals).toEqual([]);
  });

  test.each(each)("%s has JSON that can be read", (_file, page) => {
    for (const block of page.blocks) if (block.language === "json") JSON.parse(block.text);
  });

  test.each(each)("%s keeps rows of tables short", (_file, page) => {
    const rows = proseOf(page)
      .split("\n")
      .filter((line) => line.startsWith("|") && line.replaceAll(/ +/g, " ").length > 200);
    expect(rows).toEqual([]);
  });

  const present = each.filter(([file]) => file !== "CHANGELOG.md" && !/^docs\/adr\/\d/.test(file));
  test.each(present)("%s names files of the source that exist", (_file, page) => {
    const named = [
      ...page.text.matchAll(/`((?:cloud|edge|shared|scripts|test|conf|docs|\.ci)\/[\w./*-]+)`/g),
    ];
    const missing = named
      .map((match) => match[1] ?? "")
      .filter((path) => (path.includes("*") ? !hasMatch(path) : !existsSync(join(root, path))));
    expect(missing).toEqual([]);
  });

  test.each(present)("%s names archives of this version", (_file, page) => {
    const named = [...page.text.matchAll(/(?:cloudcore|edgecore)-([\w.]+)-linux-/g)].map((match) => match[1]);
    expect(named.filter((version) => version !== readVersion(root))).toEqual([]);
  });

  const decisions = each.filter(([file]) => /^docs\/adr\/\d/.test(file));
  test.each(decisions)("%s has status, date, context, decision and consequences", (file, page) => {
    const number = /\d{4}/.exec(file)?.[0];
    expect(page.text).toMatch(
      new RegExp(
        `^# ${number}: .+\\n\\n- Status: .+\\n- Date: \\d{4}-\\d\\d-\\d\\d\\n\\n## Context\\n[^]+\\n## Decision\\n[^]+\\n## Consequences\\n`,
      ),
    );
  });

  test("README is read in one go", () => {
    expect(readFileSync(join(root, "README.md"), "utf8").split("\n").length).toBeLessThan(200);
  });

  test("every page of docs can be reached from README", () => {
    const reached = new Set<string>();
    const follow = (file: string): void => {
      const page = pages.find((one) => one.file === file);
      if (page === undefined || reached.has(file)) return;
      reached.add(file);
      for (const { target } of linksOf(page))
        if (!/^(https?|mailto):/.test(target)) follow(destination(page, target).file);
    };
    follow("README.md");
    expect(pages.map((page) => page.file).filter((file) => !reached.has(file))).toEqual([]);
  });
});
