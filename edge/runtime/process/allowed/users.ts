import { lstatSync, statSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { createHash } from "node:crypto";

/** Who programs may run as. */
export interface ProcessUsers {
  /** Of these each pod has one of its own, which is its group too. */
  readonly first: number;
  readonly last: number;
  /** Users that pods may name beside it. */
  readonly users: readonly number[];
  readonly groups: readonly number[];
}

export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  /** Without `gid`. */
  readonly groups: readonly number[];
}

/**
 * The user of a pod that names none: by its uid, so that the next pods do not own what it left, and none that another pod has.
 * @returns undefined when all are taken
 */
export function ownUser(
  podUid: string,
  taken: ReadonlySet<number>,
  { first, last }: Pick<ProcessUsers, "first" | "last">,
): number | undefined {
  const count = last - first + 1;
  const start = createHash("sha256").update(podUid).digest().readUInt32BE(0) % count;
  for (let step = 0; step < count; step += 1) {
    const uid = first + ((start + step) % count);
    if (!taken.has(uid)) return uid;
  }
  return undefined;
}

/**
 * The user of a container. @param given `user` or `user:group` of its specification, in numbers
 * @returns a text when this node does not allow it
 */
export function chooseUser(
  {
    user = "",
    supplementalGroups,
  }: { readonly user?: string; readonly supplementalGroups: readonly string[] },
  own: number,
  allowed: ProcessUsers,
): ProcessUser | string {
  const [uidText = "", gidText] = user === "" ? [] : user.split(":");
  const uid = uidText === "" ? own : toId(uidText);
  if (uid === undefined || (uid !== own && !allowed.users.includes(uid)))
    return `runAsUser ${uidText} is not among edged.processes.users of this node`;
  const isGroup = (gid: number | undefined): gid is number =>
    gid !== undefined && (gid === own || allowed.groups.includes(gid));
  const gid = gidText === undefined ? own : toId(gidText);
  if (!isGroup(gid)) return `runAsGroup ${gidText} is not among edged.processes.groups of this node`;
  const groups = supplementalGroups.map(toId);
  const odd = groups.findIndex((one) => !isGroup(one));
  if (odd !== -1)
    return `group ${supplementalGroups[odd]} of supplementalGroups or fsGroup is not among edged.processes.groups of this node`;
  return { uid, gid, groups: groups.filter((one) => one !== undefined && one !== gid) as number[] };
}

function toId(text: string): number | undefined {
  // The largest numbers mean "none" to system calls.
  return /^\d{1,10}$/.test(text) && Number(text) < 0xffff_fffe ? Number(text) : undefined;
}

/** Whether the users of programs can replace what is in a directory, by its owner and mode. */
export function isSteady(stats: Stats, allowed: ProcessUsers): boolean {
  const isTheirs = (id: number, named: readonly number[]): boolean =>
    id !== 0 && ((id >= allowed.first && id <= allowed.last) || named.includes(id));
  if ((stats.mode & 0o002) !== 0 || isTheirs(stats.uid, allowed.users)) return false;
  return (stats.mode & 0o020) === 0 || !isTheirs(stats.gid, allowed.groups);
}

/** The directories above a path, from the root on. */
export function parentsOf(path: string): string[] {
  const above = dirname(path);
  return above === path ? [] : [...parentsOf(above), above];
}

/** A directory above a real path in which users of programs could put something else in its place; undefined: none. */
export function unsteadyParent(path: string, allowed: ProcessUsers): string | undefined {
  return parentsOf(path).find((one) => !isSteady(lstatSync(one), allowed));
}

/**
 * Why a user cannot reach a real path of the host by itself; undefined when it can. A mount would lead it there past directories that
 * it may not enter.
 */
export function findBarrier(path: string, { uid, gid, groups }: ProcessUser): string | undefined {
  if (uid === 0) return undefined;
  return parentsOf(path).find((one) => {
    const { mode, uid: owner, gid: group } = statSync(one);
    if (owner === uid) return (mode & 0o100) === 0;
    if (group === gid || groups.includes(group)) return (mode & 0o010) === 0;
    return (mode & 0o001) === 0;
  });
}
