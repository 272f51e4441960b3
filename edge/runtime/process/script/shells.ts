import { join } from "node:path";
import { quoteWord as q, systemPath, type Tools } from "./tools.ts";
import type { ProcessUser } from "#edge/runtime/process/allowed";

export interface ProgramStart {
  readonly argv: readonly string[];
  /** NAME=VALUE */
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: ProcessUser;
  readonly oomScoreAdj: number;
}

export interface ScriptInput extends ProgramStart {
  /** Directory of the container. */
  readonly dir: string;
  readonly bootId: string;
  /** Ends both outputs; the program does not know it. */
  readonly endMark: string;
  readonly view: readonly string[];
  readonly joins: readonly string[];
  readonly supervisorJoins: readonly string[];
  readonly tools: Tools;
}

/** Files of a container in its directory. */
export const fileNames = {
  script: "run",
  out: "out",
  err: "err",
  /** What the supervisor waits on before it ends: it keeps what was not read of the outputs. */
  hold: "hold",
  supervisor: "supervisor",
  init: "init",
  program: "program",
  exit: "exit",
  problem: "problem",
  root: "root",
} as const;

/**
 * The supervisor of a container, a shell that needs edgecore no more once it runs: in a mount and a PID namespace of its own it
 * starts a second one, which is the first process there, and that the program. When the program has ended, or the second shell is
 * killed, the kernel ends all that it has left behind. Until edgecore has read the rest of the outputs the first shell keeps them.
 *
 * The first shell starts nothing but the second: what it started first would be the first process of the namespace.
 */
export function supervisorScript(input: ScriptInput): string {
  const { dir, bootId, endMark, tools, view, joins, supervisorJoins } = input;
  const file = (name: keyof typeof fileNames): string => q(join(dir, fileNames[name]));
  // Fields of proc(5); the host's /proc tells the number that the host knows.
  const identify = (name: "supervisor" | "init" | "program"): string[] => [
    `read -r line </proc/self/stat || exit 125`,
    `set -- $line`,
    `printf '%s %s %s\\n' "$1" "\${22}" ${bootId} >${file(name)} || exit 125`,
  ];
  const join0 = (paths: readonly string[]): string[] => paths.map((path) => `echo 0 >${q(path)} || exit 125`);
  return lines([
    // Exclusive: a container runs once.
    "set -C",
    ...identify("supervisor"),
    "set +C",
    ...join0(supervisorJoins),
    `exec 3<>${file("out")} 4<>${file("err")} 5<>${file("hold")}`,
    "(",
    `exec 5>&- </dev/null >/dev/null 2>${file("problem")}`,
    ...identify("init"),
    ...view.map((command) => `{ ${command}; } || exit 125`),
    "(",
    ...join0(joins),
    `echo ${input.oomScoreAdj} >/proc/self/oom_score_adj || exit 125`,
    "umask 022",
    ...identify("program"),
    `exec >${file("out")} 2>${file("err")} 3>&- 4>&-`,
    `exec ${programCommand(input, join(dir, fileNames.root), tools)}`,
    ")",
    "exit $?",
    ")",
    "code=$?",
    // In place of what is there: it needs no room on a full disk.
    `printf '%s\\n' "$code" 1<>${file("exit")}`,
    `printf '%s\\n' ${endMark} >&3`,
    `printf '%s\\n' ${endMark} >&4`,
    "read -r line <&5",
  ]);
}

export interface CommandInput extends ProgramStart {
  readonly joins: readonly string[];
  /** The program of the container, whose namespaces it enters; its number may become that of another process. */
  readonly program: { readonly pid: number; readonly startTicks: string };
  readonly tools: Tools;
}

/** Bytes of one variable; the kernel takes 128 KiB. */
const partLength = 30_000;

/**
 * The shell that runs a command beside a program, and its environment. The variables of the pod and the arguments are in the environment
 * alone, which only root can read there: everyone may read the arguments of a process.
 */
export function commandShell({ joins, program, tools, ...start }: CommandInput): {
  readonly command: string[];
  readonly env: Record<string, string>;
} {
  const { pid, startTicks } = program;
  const inner = lines([
    // What is entered is held, so that it is that of the process that is looked at next.
    `cd /proc/${pid}/root || exit 125`,
    `read -r line </proc/${pid}/stat || exit 125`,
    // From the third field on: the second is a name, which may hold spaces.
    `set -- \${line##*")"}`,
    `[ "\${20}" = ${startTicks} ] || exit 125`,
    `exec ${programCommand(start, ".", tools)}`,
  ]);
  const parts = [...partsOf(inner)];
  const names = parts.map((_, index) => `KUBEEDGE_COMMAND_${index}`);
  const enter = `unset ${names.join(" ")}; eval "$script"`;
  const read = `script="${names.map((name) => `$${name}`).join("")}"; ${enter}`;
  const outer = lines([
    ...joins.map((path) => `echo 0 >${q(path)} || exit 125`),
    `echo ${start.oomScoreAdj} >/proc/self/oom_score_adj || exit 125`,
    "umask 022",
    `exec ${tools.nsenter} --target ${pid} --pid -- ${tools.sh} -c ${q(read)}`,
  ]);
  const env = Object.fromEntries(parts.map((part, index) => [`KUBEEDGE_COMMAND_${index}`, part]));
  return { command: [tools.sh, "-c", outer], env: { PATH: systemPath, ...env } };
}

/** In whole characters, of four bytes at most. */
function* partsOf(text: string): Generator<string> {
  let part = "";
  for (const character of text) {
    part += character;
    if (part.length < partLength) continue;
    yield part;
    part = "";
  }
  yield part;
}

/**
 * Everything that is done as root is done by tools of the host: `chroot` gives root up and starts `env`, the first that is taken from
 * what the container sees. What would give privileges back, such as a set-user-ID program, has no effect from the first on.
 */
function programCommand({ argv, env, workingDir, user }: ProgramStart, root: string, tools: Tools): string {
  const { uid, gid, groups } = user;
  // ptrace: to reach the root of a process of another user.
  const kept = "--bounding-set=-all,+setuid,+setgid,+sys_chroot,+sys_ptrace";
  const ids = [gid, ...groups].map((one) => `+${one}`).join(",");
  return [
    `${tools.setpriv} --no-new-privs --inh-caps=-all ${kept} --`,
    `${tools.chroot} --userspec=+${uid}:+${gid} --groups=${ids} -- ${q(root)}`,
    `${tools.env} -i --chdir=${q(workingDir)} --`,
    ...env.map(q),
    ...argv.map(q),
  ].join(" ");
}

function lines(all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
