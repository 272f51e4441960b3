import { quote } from "#shared/errors";
import { flag, section, textLike, texts, wholes, type Values } from "./field.ts";

/** Numbers of users and groups; those at the end mean "none" to the kernel. */
const ids = [0, 4_294_967_293] as const;
const rangePattern = /^(\d{1,10})-(\d{1,10})$/;

/** `edged.processes` of `conf/edge.yaml`. */
export const processesSection = section(
  "Programs of this machine as pods, in place of containers: see docs/processes.md.",
  {
    enabled: flag(
      "Whether pods may run programs of this machine, by images such as process:///opt/edge/bin/app or the RuntimeClass process.",
      false,
    ),
    programs: texts(
      "Directories and files of the programs that pods may start, also by probes, hooks and kubectl exec, e.g. [/opt/edge/bin]. Only root may be able to write there.",
      [],
    ),
    "user-range": textLike(
      "Numbers of users, of which each pod has one for itself. No account of this machine may be among them.",
      "2000000-2065535",
      "a range of numbers from 1000 to 4294967293, such as 2000000-2065535",
      rangePattern,
    ),
    users: wholes(
      "Users that pods may name (runAsUser). 0: everyone who writes pods for this node has its root account.",
      ids,
    ),
    groups: wholes(
      "Groups that pods may name (runAsGroup, fsGroup, supplementalGroups), e.g. that of /dev/ttyUSB0. Some, such as docker and disk, are as good as root.",
      ids,
    ),
  },
);

export type ProcessesValues = Values<(typeof processesSection)["children"]>;

export interface ProcessesConfig {
  /** Directories and files. */
  readonly programs: readonly string[];
  /** Users of which each pod has one, the last included. */
  readonly first: number;
  readonly last: number;
  readonly users: readonly number[];
  readonly groups: readonly number[];
}

/** The typed form of the section. */
export function toProcesses(given: ProcessesValues): ProcessesConfig | undefined {
  if (!given.enabled) return undefined;
  const [, first, last] = rangePattern.exec(given["user-range"]) ?? [];
  const { programs, users, groups } = given;
  return { programs, first: Number(first), last: Number(last), users, groups };
}

/** Fewer than the pods of a node would leave some without. */
const leastUsers = 256;

/** Problems of the section that no field shows by itself. */
export function findProcessesProblems(processes: ProcessesValues): string[] {
  if (!processes.enabled) return [];
  const [, first = "0", last = "0"] = rangePattern.exec(processes["user-range"]) ?? [];
  const [from, to] = [Number(first), Number(last)];
  const odd = processes.programs.find((one) => !/^(\/[^/\0]+)+$/.test(one) || /\/\.{1,2}(\/|$)/.test(one));
  return [
    ...(processes.programs.length > 0
      ? []
      : [
          "edged.processes.programs: expected directories or files, as edged.processes.enabled is true, got none; add such as [/opt/edge/bin]",
        ]),
    ...(odd === undefined
      ? []
      : [
          `edged.processes.programs: expected paths from the root without "..", and not the root itself, got ${quote(odd)}`,
        ]),
    ...(from >= 1000 && to <= ids[1] && to - from + 1 >= leastUsers
      ? []
      : [
          `edged.processes.user-range: expected at least ${leastUsers} numbers from 1000 to ${ids[1]}, got ${quote(processes["user-range"])}; an example is 2000000-2065535`,
        ]),
  ];
}
