import { AppError } from "#shared/errors";
import type { RuntimeCode } from "#edge/runtime";

/** Paths of the programs that start programs. */
export type Tools = Readonly<Record<(typeof names)[number], string>>;

const names = [
  "sh",
  "unshare",
  "nsenter",
  "setpriv",
  "mount",
  "umount",
  "chroot",
  "env",
  "mkdir",
  "mkfifo",
  "ln",
] as const;
/** Only where root alone installs. */
export const systemPath = "/usr/sbin:/usr/bin:/sbin:/bin";
const packages = "util-linux and coreutils";

/** @returns a text that names what is missing */
export function findTools(): Tools | string {
  const found = names.map((name) => [name, Bun.which(name, { PATH: systemPath })] as const);
  const missing = found.flatMap(([name, path]) => (path === null ? [name] : []));
  if (missing.length > 0)
    return `processes need ${missing.join(", ")} of this machine: install the packages ${packages}`;
  return Object.fromEntries(found) as Tools;
}

/** @throws AppError "engine-refused" */
export function needTools(tools: Tools | string): Tools {
  if (typeof tools === "string") throw new AppError("engine-refused" satisfies RuntimeCode, tools);
  return tools;
}

/** One word of a shell's command, whatever is in it. */
export function quoteWord(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
