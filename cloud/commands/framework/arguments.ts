import { isNodeName } from "#cloud/cloud-hub/node-access";
import type { Asked } from "#shared/cli";
import { ConfigError, nearest, quote } from "#shared/errors";

/** The subcommand: the word after the command, one of `choices`. @throws ConfigError */
export function readChoice<T extends string>({ command, operands }: Asked, choices: readonly T[]): T {
  const [word] = operands;
  const found = choices.find((choice) => choice === word);
  if (found !== undefined) return found;
  const meant = word === undefined ? undefined : nearest(word, choices);
  const got = word === undefined ? "nothing" : quote(word);
  throw new ConfigError(
    "usage",
    `${command}: expected ${choices.join(", ")}, got ${got}${meant === undefined ? "" : `; did you mean ${meant}?`}`,
  );
}

/** The operand after the subcommand. @throws ConfigError when it is missing */
export function requireOperand({ command, operands }: Asked, what: string): string {
  const [choice = "", value] = operands;
  if (value === undefined || value === "")
    throw new ConfigError("usage", `${command} ${choice}: expected ${what}`);
  return value;
}

/** @throws ConfigError when there are more operands or other flags than these */
export function refuseMore(
  { command, operands, flags }: Asked,
  allowed: { readonly operands: number; readonly flags: readonly string[] },
): void {
  const name = [command, ...operands.slice(0, 1)].join(" ");
  const more = operands[allowed.operands];
  if (more !== undefined)
    throw new ConfigError("usage", `${name}: expected nothing more, got ${quote(more)}`);
  const other = [...flags.keys()].find((flag) => !allowed.flags.includes(flag));
  if (other !== undefined) throw new ConfigError("usage", `${name} takes no --${other}`);
}

/** The whole number in a flag. @throws ConfigError */
export function readWhole(
  { flags }: Asked,
  name: string,
  fallback: number,
  [least, most]: readonly [number, number],
): number {
  const text = flags.get(name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new ConfigError(
    "usage",
    `--${name}: expected a whole number from ${least} to ${most}, got ${quote(text)}`,
  );
}

/** The text in a flag, empty without it. @throws ConfigError when it is longer than `most` characters */
export function readText({ flags }: Asked, name: string, most: number): string {
  const text = flags.get(name) ?? "";
  if (text.length <= most) return text;
  throw new ConfigError("usage", `--${name}: expected at most ${most} characters`);
}

/** How a list is printed. @throws ConfigError */
export function readOutput({ flags }: Asked): "table" | "json" {
  const output = flags.get("output") ?? "table";
  if (output === "table" || output === "json") return output;
  throw new ConfigError("usage", `--output: expected table or json, got ${quote(output)}`);
}

/** Returns `name`; `source` names the argument it comes from. @throws ConfigError when it is not a node name */
export function readNodeName(source: string, name: string): string {
  if (isNodeName(name)) return name;
  throw new ConfigError(
    "usage",
    `${source}: expected a node name of lower-case letters, digits, "-" and ".", got ${quote(name)}`,
  );
}
