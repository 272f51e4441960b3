import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ConfigError, describeError, errorCodeOf, quote } from "#shared/errors";
import { checkValues, findDuplicates, isPlain } from "./check.ts";
import { toCloudConfig, type CloudConfig, type Overrides } from "./cloud-config.ts";
import { cloudFields, retiredCloudKeys } from "./cloud-fields.ts";
import { toEdgeConfig, type EdgeConfig, type EdgeOverrides, type TokenSource } from "./edge-config.ts";
import { edgeFields, retiredEdgeKeys } from "./edge-fields.ts";
import type { Tree, Values } from "./field.ts";
import { inTheirWords, isKubeEdgeFile, mapKubeEdgeFile } from "./kubeedge.ts";

export interface ConfigPlaces {
  /** --config */
  readonly file?: string | undefined;
  readonly workingDir: string;
  readonly executable: string;
}

export interface Loaded<Config> {
  readonly config: Config;
  /** undefined: no file, defaults */
  readonly file: string | undefined;
  readonly warnings: readonly string[];
  /** A text about the configuration with the keys of the file it is in. */
  readonly word: (text: string) => string;
}

/** A file with every field and long lists of users has some 10 KB; a larger one was named by mistake. */
const mostBytes = 1_000_000;
/** Retired keys are at most this deep; a file may refer to itself below. */
const deepestRetired = 3;

/**
 * Reads cloudcore's configuration: --config, else conf/controller.yaml and controller.yaml in the working directory,
 * beside the executable and in /etc/kubeedge, else the defaults.
 * @throws ConfigError listing every problem of the file
 */
export function loadCloudConfig(places: ConfigPlaces, overrides: Overrides): Loaded<CloudConfig> {
  const { workingDir } = places;
  const file = findFile("controller.yaml", ["cloudcore.yaml"], places);
  const read = readValues({ file, workingDir }, "cloudcore", cloudFields, retiredCloudKeys);
  const config = orThrow(file, toCloudConfig(read.values, overrides), read.word);
  return { config, file, warnings: read.warnings, word: read.word };
}

/** As `loadCloudConfig`, for edgecore and `edge.yaml`. */
export function loadEdgeConfig(
  places: ConfigPlaces & { readonly hostName: string },
  overrides: EdgeOverrides,
): Loaded<EdgeConfig> {
  const { workingDir } = places;
  const file = findFile("edge.yaml", ["edgecore.yaml"], places);
  const read = readValues({ file, workingDir }, "edgecore", edgeFields, retiredEdgeKeys);
  const config = orThrow(file, toEdgeConfig(read.values, overrides, places.hostName), read.word);
  return { config, file, warnings: read.warnings, word: read.word };
}

/** The token, why it is not available, or undefined when none is given. */
export function readJoinToken({
  token,
  tokenFile,
}: TokenSource): { readonly token: string } | { readonly fault: string } | undefined {
  if (token !== undefined) return { token };
  if (tokenFile === undefined) return undefined;
  try {
    const text = readFileSync(tokenFile, "utf8").trim();
    return text === "" ? { fault: `edgehub.token-file: ${quote(tokenFile)} is empty` } : { token: text };
  } catch (error) {
    const why =
      errorCodeOf(error) === "ENOENT" ? "does not exist" : `cannot be read: ${describeError(error)}`;
    return { fault: `edgehub.token-file: ${quote(tokenFile)} ${why}` };
  }
}

function findFile(name: string, theirs: readonly string[], places: ConfigPlaces): string | undefined {
  if (places.file !== undefined) return places.file;
  const beside = dirname(places.executable);
  const candidates = [
    join("conf", name),
    name,
    join(beside, "conf", name),
    join(beside, name),
    join("/etc/kubeedge", name),
    ...theirs.map((other) => join("/etc/kubeedge/config", other)),
  ];
  return candidates.find((path) => existsSync(resolve(places.workingDir, path)));
}

interface Read<T extends Tree> {
  readonly values: Values<T>;
  readonly warnings: readonly string[];
  readonly word: (text: string) => string;
}

function readValues<T extends Tree>(
  source: { readonly file: string | undefined; readonly workingDir: string },
  program: "cloudcore" | "edgecore",
  tree: T,
  retired: readonly string[],
): Read<T> {
  const { file } = source;
  const raw = file === undefined ? {} : readYaml(file, source.workingDir);
  const theirs = isKubeEdgeFile(raw, program);
  const mapped = theirs ? mapKubeEdgeFile(raw, program, existsSync) : dropRetired(raw, retired);
  const { values, problems } = checkValues(tree, mapped.input);
  const word = (problem: string): string => (theirs ? inTheirWords(problem, program) : problem);
  if (values === undefined || problems.length > 0) throw refusal(file ?? "", problems.map(word));
  const names = mapped.unserved.join(", ");
  const why = theirs ? "KubeEdge fields that have no effect here" : "Fields that have no effect here";
  return { values, warnings: names === "" ? [] : [`${why}: ${names}`], word };
}

function readYaml(file: string, workingDir: string): unknown {
  const text = readText(file, workingDir);
  const parsed = parseOrExplain(file, text);
  const twice = findDuplicates(text, (again) => parses(again) && Bun.YAML.parse(again));
  if (twice.length > 0) throw refusal(file, twice);
  return parsed;
}

function parseOrExplain(file: string, text: string): unknown {
  try {
    return Bun.YAML.parse(text);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message.replace(/^YAML Parse error: /, "") : String(cause);
    throw new ConfigError(
      "bad-yaml",
      `Cannot load ${quote(file)}: line ${brokenLine(text)}: not YAML: ${what}`,
      {
        cause,
      },
    );
  }
}

function readText(file: string, workingDir: string): string {
  const path = resolve(workingDir, file);
  try {
    if (statSync(path).size > mostBytes)
      throw new ConfigError("big-config", `Cannot load ${quote(file)}: larger than ${mostBytes} bytes`);
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const code = errorCodeOf(cause);
    const why =
      code === "ENOENT" ? "no such file" : code === "EISDIR" ? "it is a directory" : (code ?? String(cause));
    throw new ConfigError("no-config", `Cannot load ${quote(file)}: ${why}`, { cause });
  }
}

/** The parser gives no position: the line after the longest part from the top that can be read. */
function brokenLine(text: string): number {
  const lines = text.split("\n");
  for (let count = Math.min(lines.length, 5000) - 1; count > 0; count -= 1)
    if (parses(lines.slice(0, count).join("\n"))) return count + 1;
  return 1;
}

function parses(text: string): boolean {
  try {
    Bun.YAML.parse(text);
    return true;
  } catch {
    return false;
  }
}

function dropRetired(
  raw: unknown,
  retired: readonly string[],
): { readonly input: unknown; readonly unserved: readonly string[] } {
  const unserved: string[] = [];
  const isRetired = (path: string): boolean => {
    if (!retired.includes(path)) return false;
    unserved.push(path);
    return true;
  };
  const prune = (value: unknown, path: readonly string[]): unknown => {
    if (!isPlain(value) || Array.isArray(value) || path.length === deepestRetired) return value;
    const kept = Object.entries(value).filter(([key]) => !isRetired([...path, key].join(".")));
    return Object.fromEntries(kept.map(([key, inner]) => [key, prune(inner, [...path, key])]));
  };
  return { input: prune(raw, []), unserved };
}

function orThrow<Config extends object>(
  file: string | undefined,
  result: Config | readonly string[],
  word: (problem: string) => string,
): Config {
  // Array.isArray does not narrow a readonly list; a configuration is no list.
  if (Array.isArray(result)) throw refusal(file, (result as readonly string[]).map(word));
  return result as Config;
}

function refusal(file: string | undefined, problems: readonly string[]): ConfigError {
  const [first = ""] = problems;
  const what = file === undefined ? "Cannot start" : `Cannot load ${quote(file)}`;
  const text = problems.length === 1 ? `${what}: ${first}` : `${what}:\n  ${problems.join("\n  ")}`;
  return new ConfigError("bad-config", text);
}
