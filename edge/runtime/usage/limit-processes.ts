import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupRoots } from "./cgroup-usage.ts";

/**
 * Limits the processes and threads of a container in its control group, as kubelet does in that of the pod: the CRI has no field
 * for it. @param pid of a process of it
 * @throws Error when its control group cannot be found or written
 */
export function limitProcesses(
  id: string,
  { pid, most }: { readonly pid: number; readonly most: number },
  roots: CgroupRoots = { proc: "/proc", cgroup: "/sys/fs/cgroup" },
): void {
  const lines = readFileSync(join(roots.proc, String(pid), "cgroup"), "utf8").split("\n");
  const places = lines.flatMap((line) => {
    const [, names = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    return path.includes(id) && (names === "pids" || names === "") ? [join(roots.cgroup, names, path)] : [];
  });
  // Where both versions are in use, version 1 has the controller and comes first.
  const [place] = places;
  if (place === undefined) throw new Error(`process ${pid} is in no control group of container ${id}`);
  writeFileSync(join(place, "pids.max"), String(most));
}
