import { AppError } from "#shared/errors";
import type { ContainerSpec, RuntimeCode } from "#edge/runtime";
import {
  chooseUser,
  findProgram,
  programOf,
  usualPath,
  type ProcessUsers,
} from "#edge/runtime/process/allowed";
import { supervisorScript, viewCommands, type ProgramStart, type Tools } from "#edge/runtime/process/script";
import { join } from "node:path";

export interface PlanFacts {
  /** Directory of the container. */
  readonly dir: string;
  /** Number of the user that the pod has for itself. */
  readonly own: number;
  readonly config: ProcessUsers & { readonly programs: readonly string[] };
  readonly dataDir: string;
  readonly bootId: string;
  readonly endMark: string;
  readonly joins: readonly string[];
  readonly supervisorJoins: readonly string[];
  readonly tools: Tools;
}

export interface PlannedStart {
  readonly start: ProgramStart;
  /** Of the supervisor. */
  readonly script: string;
}

/** Variables that make the loader run other code than that of the program. */
const loaderVariable = /^(LD_.*|GLIBC_TUNABLES|GCONV_PATH|MALLOC_.*)=/;

/** How a container is started. @throws AppError "engine-refused" that names the field which cannot be met, "image-not-found" */
export function planStart(spec: ContainerSpec, facts: PlanFacts): PlannedStart {
  const { container } = spec.identity;
  const refuse = (why: string): never => {
    throw new AppError(
      "engine-refused" satisfies RuntimeCode,
      `Cannot create container "${container}": ${why}`,
    );
  };
  const fault = findUnserved(spec);
  if (fault !== undefined) refuse(fault);
  const argv = argvOf(spec, facts.config.programs);
  const user = chooseUser(spec, facts.own, facts.config);
  if (typeof user === "string") return refuse(user);
  const { tools, config, dataDir } = facts;
  const root = join(facts.dir, "root");
  const view = viewCommands({
    root,
    mounts: spec.mounts,
    user,
    allowed: config,
    programs: config.programs,
    dataDir,
    tools,
  });
  if (typeof view === "string") return refuse(view);
  const start: ProgramStart = {
    argv,
    env: withUsual(spec.env),
    workingDir: spec.workingDir ?? "/",
    user,
    oomScoreAdj: spec.oomScoreAdj ?? 0,
  };
  return { start, script: supervisorScript({ ...start, ...facts, view }) };
}

/** The fields of a container that mean nothing without one. */
function findUnserved(spec: ContainerSpec): string | undefined {
  const {
    privileged,
    capAdd,
    readOnlyRoot,
    tty,
    stdin,
    pid,
    devices = [],
    seccomp,
    appArmor,
    selinux = [],
  } = spec;
  const found: readonly (readonly [boolean, string])[] = [
    [privileged, "securityContext.privileged"],
    [capAdd.length > 0, "securityContext.capabilities.add"],
    [readOnlyRoot, "securityContext.readOnlyRootFilesystem"],
    [typeof seccomp === "object", "securityContext.seccompProfile"],
    [appArmor !== undefined && appArmor !== "unconfined", "securityContext.appArmorProfile"],
    [selinux.length > 0, "securityContext.seLinuxOptions"],
    [tty, "tty"],
    [stdin, "stdin"],
    [typeof pid === "object", "targetContainerName"],
    [devices.length > 0, "resources of a device plugin"],
  ];
  const field = found.find(([isGiven]) => isGiven)?.[1];
  if (field !== undefined) return `${field} is not supported for processes`;
  const loader = spec.env.find((one) => loaderVariable.test(one));
  if (loader !== undefined) return `env ${loader.split("=")[0]} is not allowed for processes`;
  const texts = [...spec.env, ...(spec.command ?? []), ...(spec.args ?? []), spec.workingDir ?? ""];
  return texts.some((one) => one.includes("\0")) ? "a text has a NUL character" : undefined;
}

/** The program of the image with the arguments, or the command in its place. */
function argvOf(
  { image, command = [], args = [], env, identity }: ContainerSpec,
  allowed: readonly string[],
): string[] {
  const program = programOf(image);
  const [name = "", ...rest] =
    command.length > 0 || program === undefined ? [...command, ...args] : [program, ...args];
  const path = env.findLast((one) => one.startsWith("PATH="))?.slice("PATH=".length);
  const found = findProgram(name, allowed, path);
  if (found.ok) return [found.path, ...rest];
  const what =
    program === undefined && command.length === 0 ? "command is missing: it names the program" : found.reason;
  throw new AppError(
    (found.isMissing ? "image-not-found" : "engine-refused") satisfies RuntimeCode,
    `Cannot create container "${identity.container}": ${what}`,
  );
}

function withUsual(env: readonly string[]): string[] {
  const has = (name: string): boolean => env.some((one) => one.startsWith(`${name}=`));
  return [...(has("PATH") ? [] : [`PATH=${usualPath}`]), ...(has("HOME") ? [] : ["HOME=/"]), ...env];
}
