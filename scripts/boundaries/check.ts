import { dirname, join, normalize } from "node:path";
import { readImports, type Import } from "./imports.ts";
import {
  catalogs,
  doors,
  fileRules,
  folderRules,
  internalAllowed,
  foldersAtAGlance,
  mostEntriesAFolder,
  mostLinesAFile,
  processOwners,
  timeOwners,
  type FolderRule,
} from "./rules.ts";

/** Path from the root → text. */
export type Sources = ReadonlyMap<string, string>;

/** Every breach of the dependency table, one line each: `file: what is wrong`. */
export function findViolations(sources: Sources): string[] {
  const found: string[] = [];
  const values = new Map<string, string[]>();
  const all = new Map<string, string[]>();
  for (const [file, text] of sources) {
    const imports = readImports(text);
    for (const one of imports) {
      const problem = judge(file, one);
      if (problem !== undefined) found.push(`${file}: ${problem}`);
    }
    found.push(...judgeGlobals(file, text).map((problem) => `${file}: ${problem}`));
    values.set(
      file,
      targetsOf(
        file,
        imports.filter((one) => !one.typeOnly),
      ),
    );
    all.set(file, targetsOf(file, imports));
  }
  return [
    ...found,
    ...findCycles(values, all),
    ...findCrowds(sources),
    ...findLongFiles(sources),
    ...findTopics(sources),
  ];
}

function judge(file: string, one: Import): string | undefined {
  const { from } = one;
  if (from.startsWith("../node_modules/") && file.startsWith("scripts/")) return undefined;
  if (from.startsWith("#conf/")) return undefined;
  if (from.startsWith("..")) return `imports ${from}: use an alias, not ".."`;
  if (from.startsWith("./")) return undefined;
  if (from.startsWith("#")) return judgeAlias(file, one) ?? judgeLibrary(file, from);
  return judgeLibrary(file, from);
}

function judgeAlias(file: string, one: Import): string | undefined {
  const folder = folderOf(file);
  if (one.from.startsWith("#internal/"))
    return matches(folder, internalAllowed) ? undefined : `imports ${one.from}: only tests may`;
  const target = one.from.slice(1);
  if (target === folder) return `imports ${one.from}: files of its folder are imported by "./name.ts"`;
  if (componentOf(target) === componentOf(folder)) return undefined;
  const rule = ruleOf(file, folder);
  if (!rule) return `is in a folder without a rule (scripts/boundaries/rules.ts)`;
  if (matches(target, rule.values)) return undefined;
  if (one.typeOnly && matches(target, rule.types ?? [])) return undefined;
  const typesOnly = matches(target, rule.types ?? []);
  return `imports ${one.from}: ${typesOnly ? "only its types are allowed here" : "not allowed here"}`;
}

function judgeLibrary(file: string, specifier: string): string | undefined {
  const door = doors.find(
    ({ library }) =>
      specifier === library ||
      specifier.startsWith(library.endsWith("-") || library.endsWith("/") ? library : `${library}/`),
  );
  if (!door || file.startsWith("test/") || file.startsWith("scripts/")) return undefined;
  return matches(folderOf(file), door.folders)
    ? undefined
    : `imports ${specifier}: its door is ${door.folders.join(", ")}`;
}

const globals = [
  { pattern: /\bprocess\.(env|exit)\b|\bBun\.env\b/, owners: processOwners, what: "the environment or exit" },
  {
    pattern:
      /\bDate\.now\(|\bMath\.random\(|(?<!client\.)\bsetTimeout\(|\bsetInterval\(|\bBun\.sleep\(|\bperformance\.now\(/,
    owners: timeOwners,
    what: "time or chance without the clock",
  },
  {
    pattern: /\b(setImmediate|queueMicrotask|process\.nextTick)\(/,
    owners: timeOwners,
    what: "a turn of the event loop without the clock",
  },
] as const;

function judgeGlobals(file: string, text: string): string[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
  return globals
    .filter(({ owners }) => !matches(file, owners))
    .flatMap(({ pattern, what }) => {
      const hit = pattern.exec(code);
      return hit ? [`uses ${hit[0]}: ${what}`] : [];
    });
}

function targetsOf(file: string, imports: readonly Import[]): string[] {
  return imports.map((one) => resolveFile(file, one.from)).filter((target) => target !== undefined);
}

type Graph = ReadonlyMap<string, readonly string[]>;

/** Cycles of value imports, and those that only types close; each once, by its first file. */
function findCycles(values: Graph, all: Graph): string[] {
  const isValue = (cycle: readonly string[]): boolean =>
    cycle.every((file, index) => index === 0 || values.get(cycle[index - 1] ?? "")?.includes(file) === true);
  return [
    ...cyclesIn(values).map((cycle) => `${cycle[0]}: cycle ${cycle.join(" -> ")}`),
    ...cyclesIn(all)
      .filter((cycle) => !isValue(cycle))
      .map((cycle) => `${cycle[0]}: type cycle ${cycle.join(" -> ")}`),
  ];
}

/** The cycles that a depth-first walk closes: at least one of every group of files that import each other. */
function cyclesIn(graph: Graph): string[][] {
  const done = new Set<string>();
  const path: string[] = [];
  const cycles: string[][] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start !== -1) cycles.push([...path.slice(start), file]);
    if (start !== -1 || done.has(file)) return;
    path.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return cycles;
}

function findCrowds(sources: Sources): string[] {
  const entries = new Map<string, Set<string>>();
  for (const file of sources.keys()) {
    const parts = file.split("/");
    for (let depth = 1; depth < parts.length; depth += 1) {
      const folder = parts.slice(0, depth).join("/");
      entries.set(folder, (entries.get(folder) ?? new Set()).add(parts[depth] ?? ""));
    }
  }
  return [...entries]
    .filter(([folder, { size }]) => foldersAtAGlance.test(folder) && size > mostEntriesAFolder)
    .map(([folder, { size }]) => `${folder}: ${size} entries, at most ${mostEntriesAFolder}`);
}

function findLongFiles(sources: Sources): string[] {
  return [...sources]
    .filter(([file]) => !file.startsWith("test/"))
    .map(([file, text]) => ({ file, lines: text.trimEnd().split("\n").length }))
    .filter(({ lines }) => lines > mostLinesAFile)
    .map(({ file, lines }) => `${file}: ${lines} lines, at most ${mostLinesAFile}`);
}

const verbs = /\.(emit|on|ask|answer)(?:<[^>()]*>)?\(\s*"([a-z.]+)"/g;

/** Each topic needs an emitter and a subscriber, or one who asks and one who answers, in its half. */
function findTopics(sources: Sources): string[] {
  return catalogs.flatMap(({ file, name, half }) => {
    const text = sources.get(file);
    if (text === undefined) return [];
    const used = new Set(
      [...sources]
        .filter(([source]) => source.startsWith(`${half}/`))
        .flatMap(([, code]) => [...code.matchAll(verbs)].map((hit) => `${hit[1]} ${hit[2]}`)),
    );
    const body = new RegExp(`interface ${name} \\{([\\s\\S]*?)\\n\\}`).exec(text)?.[1] ?? "";
    const topics = [...body.matchAll(/"([a-z.]+)":\s*\{\s*(event|body)/g)];
    return topics.flatMap(([, topic = "", kind]) => {
      const [say, hear] = kind === "event" ? ["emit", "on"] : ["ask", "answer"];
      const missing = [say, hear].filter((verb) => !used.has(`${verb} ${topic}`));
      return missing.map((verb) => `${file}: no ${half} module calls ${verb}("${topic}")`);
    });
  });
}

function ruleOf(file: string, folder: string): FolderRule | undefined {
  return fileRules[file] ?? folderRules.find((rule) => matches(folder, rule.folders));
}

function resolveFile(file: string, specifier: string): string | undefined {
  if (specifier.startsWith("./")) return normalize(join(dirname(file), specifier));
  if (specifier.startsWith("#internal/")) return specifier.slice("#internal/".length);
  if (specifier.startsWith("#conf/")) return undefined;
  return specifier.startsWith("#") ? `${specifier.slice(1)}/index.ts` : undefined;
}

/** `cloud/kube-api` of `cloud/kube-api/store`; a folder of one name, as `cloud`, is a component by itself. */
function componentOf(folder: string): string {
  return folder.split("/").slice(0, 2).join("/");
}

function folderOf(file: string): string {
  return dirname(file);
}

/** A glob that ends in "/**" means the folder before it as well. */
function matches(path: string, globs: readonly string[]): boolean {
  return globs
    .flatMap((glob) => (glob.endsWith("/**") ? [glob, glob.slice(0, -"/**".length)] : [glob]))
    .some((glob) => new Bun.Glob(glob).match(path));
}
