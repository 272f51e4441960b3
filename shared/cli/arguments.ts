import { nearest, quote } from "#shared/errors";
import { logLevels, type LogLevel } from "#shared/log";

/** What a command line asks for. */
export type Command =
  | { readonly kind: "run" | "check"; readonly options: Options }
  | { readonly kind: "operate"; readonly options: Options; readonly asked: Asked }
  | { readonly kind: "simulate"; readonly words: readonly string[] }
  | { readonly kind: "hash-password" | "help" | "version" | "defaultconfig" | "minconfig" }
  | { readonly kind: "refused"; readonly why: string };

export interface Options {
  readonly config?: string;
  readonly dataDir?: string;
  readonly logLevel?: LogLevel;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly server?: string;
}

/** A command with operands and flags of its own, as it was typed: `token create --hours 2` and the like. */
export interface Asked {
  readonly command: string;
  readonly operands: readonly string[];
  /** Values of the command's own flags by name; of a switch it is "true". */
  readonly flags: ReadonlyMap<string, string>;
}

/** What a command takes beside the program's flags. */
export interface CommandGrammar {
  /** Flags with a value. */
  readonly flags?: readonly string[];
  /** Flags without one. */
  readonly switches?: readonly string[];
  /** Flags and switches by their one-letter spelling, such as "-f". */
  readonly short?: ReadonlyMap<string, string>;
}

export interface Grammar {
  readonly program: string;
  readonly commands: readonly ("check" | "hash-password" | "simulate")[];
  /** Further commands by name. */
  readonly operations?: Readonly<Record<string, CommandGrammar>>;
  /** Flags with a value. */
  readonly flags: readonly ("config" | "data-dir" | "log-level" | "token" | "token-file" | "server")[];
}

const prints = ["help", "version", "defaultconfig", "minconfig"] as const;

/** Reads the words after the program's name; `--flag value` and `--flag=value` both work. */
export function readArguments(words: readonly string[], grammar: Grammar): Command {
  const line: Line = { values: new Map(), own: new Map(), operands: [], command: undefined };
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? "";
    const early = line.command === undefined ? endsReading(word, words.slice(index + 1)) : undefined;
    const ends = printOf(word) ?? (grammar.commands.some((name) => name === word) ? early : undefined);
    if (ends !== undefined) return ends;
    const taken = takeWord(word, words[index + 1], line, grammar);
    if (typeof taken === "string") return { kind: "refused", why: taken };
    index += taken;
  }
  return finish(line, grammar);
}

interface Line {
  /** flags of the program */
  readonly values: Map<string, string>;
  /** flags of the command */
  readonly own: Map<string, string>;
  readonly operands: string[];
  command: string | undefined;
}

function printOf(word: string): Command | undefined {
  const [flag] = splitFlag(word);
  const kind = prints.find((name) => flag === `--${name}` || (name === "help" && flag === "-h"));
  return kind && { kind };
}

/** These read what follows by themselves, or nothing. */
function endsReading(word: string, rest: readonly string[]): Command | undefined {
  if (word === "hash-password") return { kind: word };
  return word === "simulate" ? { kind: word, words: rest } : undefined;
}

/** @returns how many words after it were taken too, or why it is refused */
function takeWord(word: string, next: string | undefined, line: Line, grammar: Grammar): number | string {
  if (line.command === undefined && isCommand(word, grammar)) {
    line.command = word;
    return 0;
  }
  const [flag, given] = splitFlag(word);
  const known = knownFlag(flag, grammar, line.command);
  if (known !== undefined) return takeFlag(known, given, next, line);
  if (word.startsWith("-") || !isOperation(line.command, grammar))
    return refuse(word, flag, grammar, line.command);
  line.operands.push(word);
  return 0;
}

function takeFlag(
  { kind, name }: KnownFlag,
  given: string | undefined,
  next: string | undefined,
  line: Line,
): number | string {
  if (kind === "switch") {
    line.own.set(name, "true");
    return given === undefined ? 0 : `--${name} takes no value`;
  }
  const value = given ?? next;
  if (value === undefined || value === "") return `--${name} needs a value`;
  (kind === "own" ? line.own : line.values).set(name, value);
  return given === undefined ? 1 : 0;
}

function finish({ values, own, operands, command }: Line, grammar: Grammar): Command {
  const read = readOptions(values);
  if (!("options" in read)) return read;
  if (command !== undefined && isOperation(command, grammar))
    return { kind: "operate", ...read, asked: { command, operands, flags: own } };
  return { kind: command === "check" ? "check" : "run", ...read };
}

function isOperation(command: string | undefined, { operations }: Grammar): boolean {
  return command !== undefined && operations !== undefined && Object.hasOwn(operations, command);
}

function isCommand(word: string, grammar: Grammar): boolean {
  return grammar.commands.some((known) => known === word) || isOperation(word, grammar);
}

type KnownFlag = { readonly kind: "program" | "own" | "switch"; readonly name: string };

function knownFlag(flag: string, grammar: Grammar, command = ""): KnownFlag | undefined {
  const { flags = [], switches = [], short } = grammar.operations?.[command] ?? {};
  const spelled = short?.get(flag) ?? flag.replace(/^--/, "");
  const kinds = [
    ["own", flags],
    ["switch", switches],
    ["program", grammar.flags],
  ] as const;
  for (const [kind, names] of kinds) {
    const name = names.find((known) => flag !== known && spelled === known);
    if (name !== undefined) return { kind, name };
  }
  return undefined;
}

function splitFlag(word: string): readonly [string, string | undefined] {
  const equals = word.indexOf("=");
  return word.startsWith("--") && equals !== -1
    ? [word.slice(0, equals), word.slice(equals + 1)]
    : [word, undefined];
}

function refuse(word: string, flag: string, grammar: Grammar, command = ""): string {
  const { flags = [], switches = [] } = grammar.operations?.[command] ?? {};
  const commands = [...grammar.commands, ...Object.keys(grammar.operations ?? {})];
  const known = [
    ...commands,
    ...[...flags, ...switches, ...grammar.flags, ...prints].map((name) => `--${name}`),
  ];
  const meant = nearest(flag, known);
  const hint = meant === undefined || meant === word ? "" : `, did you mean ${meant}?`;
  return `unknown ${word.startsWith("-") ? "flag" : "command"} ${quote(word)}${hint}`;
}

type ReadOptions = { readonly options: Options } | Extract<Command, { readonly kind: "refused" }>;

function readOptions(values: ReadonlyMap<string, string>): ReadOptions {
  const level = values.get("log-level");
  const logLevel = logLevels.find((one) => one === level);
  if (level !== undefined && logLevel === undefined)
    return { kind: "refused", why: `--log-level: expected ${logLevels.join(", ")}, got ${quote(level)}` };
  const [config, dataDir] = [values.get("config"), values.get("data-dir")];
  const [token, tokenFile, server] = [values.get("token"), values.get("token-file"), values.get("server")];
  if (token !== undefined && tokenFile !== undefined)
    return { kind: "refused", why: "expected --token or --token-file, got both" };
  return {
    options: {
      ...(config !== undefined && { config }),
      ...(dataDir !== undefined && { dataDir }),
      ...(logLevel !== undefined && { logLevel }),
      ...(token !== undefined && { token }),
      ...(tokenFile !== undefined && { tokenFile }),
      ...(server !== undefined && { server }),
    },
  };
}
