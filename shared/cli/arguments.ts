import { nearest, quote } from "#shared/errors";
import { logLevels, type LogLevel } from "#shared/log";

/** What a command line asks for. */
export type Command =
  | { readonly kind: "run" | "check" | "token"; readonly options: Options }
  | { readonly kind: "simulate"; readonly words: readonly string[] }
  | { readonly kind: "hash-password" | "help" | "version" | "defaultconfig" | "minconfig" }
  | { readonly kind: "refused"; readonly why: string };

export interface Options {
  readonly config?: string;
  readonly dataDir?: string;
  readonly logLevel?: LogLevel;
  readonly token?: string;
  readonly server?: string;
}

export interface Grammar {
  readonly program: string;
  readonly commands: readonly ("check" | "token" | "hash-password" | "simulate")[];
  /** Flags with a value. */
  readonly flags: readonly ("config" | "data-dir" | "log-level" | "token" | "server")[];
}

const prints = ["help", "version", "defaultconfig", "minconfig"] as const;

/** Reads the words after the program's name; `--flag value` and `--flag=value` both work. */
export function readArguments(words: readonly string[], grammar: Grammar): Command {
  const values = new Map<string, string>();
  let command: "run" | "check" | "token" = "run";
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? "";
    const [flag, given] = splitFlag(word);
    const print = prints.find((name) => flag === `--${name}` || (name === "help" && flag === "-h"));
    if (print !== undefined) return { kind: print };
    const name = grammar.flags.find((known) => flag === `--${known}`);
    const verb = grammar.commands.find((known) => known === word);
    if (verb === "hash-password") return { kind: verb };
    if (verb === "simulate") return { kind: verb, words: words.slice(at + 1) };
    if (verb !== undefined && command === "run") command = verb;
    else if (name === undefined) return { kind: "refused", why: refuse(word, flag, grammar) };
    else {
      const value = given ?? words[(at += 1)];
      if (value === undefined || value === "") return { kind: "refused", why: `--${name} needs a value` };
      values.set(name, value);
    }
  }
  return finish(command, values);
}

function splitFlag(word: string): readonly [string, string | undefined] {
  const at = word.indexOf("=");
  return word.startsWith("--") && at !== -1 ? [word.slice(0, at), word.slice(at + 1)] : [word, undefined];
}

function refuse(word: string, flag: string, grammar: Grammar): string {
  const known = [...grammar.commands, ...[...grammar.flags, ...prints].map((name) => `--${name}`)];
  const meant = nearest(flag, known);
  const hint = meant === undefined ? "" : `, did you mean ${meant}?`;
  return `unknown ${word.startsWith("-") ? "flag" : "command"} ${quote(word)}${hint}`;
}

function finish(kind: "run" | "check" | "token", values: ReadonlyMap<string, string>): Command {
  const level = values.get("log-level");
  const logLevel = logLevels.find((one) => one === level);
  if (level !== undefined && logLevel === undefined)
    return { kind: "refused", why: `--log-level: expected ${logLevels.join(", ")}, got ${quote(level)}` };
  const [config, dataDir] = [values.get("config"), values.get("data-dir")];
  const [token, server] = [values.get("token"), values.get("server")];
  return {
    kind,
    options: {
      ...(config !== undefined && { config }),
      ...(dataDir !== undefined && { dataDir }),
      ...(logLevel !== undefined && { logLevel }),
      ...(token !== undefined && { token }),
      ...(server !== undefined && { server }),
    },
  };
}
