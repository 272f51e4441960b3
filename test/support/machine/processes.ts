import { systemClock } from "#shared/clock";
import type { PodProcesses } from "#edge/runtime";
import { openProcessRuntime, type ProcessesConfig } from "#edge/runtime/process";
import { needs } from "#internal/test/support/needs.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

/** Whether tests with programs of this machine as pods can run here. */
export function hasProcesses(): boolean {
  const isRoot = process.getuid?.() === 0;
  return needs({
    root: isRoot,
    "unshare, setpriv and chroot": ["unshare", "setpriv", "chroot"].every(
      (name) => Bun.which(name, { PATH: sbin }) !== null,
    ),
    "mount and PID namespaces":
      isRoot && Bun.spawnSync(["unshare", "--mount", "--pid", "--fork", "true"]).exitCode === 0,
  });
}

const sbin = `${process.env["PATH"]}:/usr/sbin:/sbin`;

export const anyProgram: ProcessesConfig = {
  programs: ["/bin", "/usr/bin"],
  first: 2_000_000,
  last: 2_065_535,
  users: [],
  groups: [],
};

/** The runtime of a data directory. */
export function processRuntime(
  dataDir: string,
  {
    config = {},
    owner = `test-${process.pid}`,
    logs = { fileBytes: 1024 * 1024, files: 3 },
  }: {
    readonly config?: Partial<ProcessesConfig>;
    readonly owner?: string;
    readonly logs?: { readonly fileBytes: number; readonly files: number };
  } = {},
): PodProcesses {
  return openProcessRuntime({
    config: { ...anyProgram, ...config },
    owner,
    dataDir,
    logs,
    clock: systemClock,
    log: silentLog(),
  });
}

/** Removes what the runtimes of an owner have left of control groups. */
export function removeCgroups(owner = `test-${process.pid}`): void {
  const found = Bun.spawnSync([
    "find",
    "/sys/fs/cgroup",
    "-depth",
    "-type",
    "d",
    "-path",
    `*/kubeedge-processes/${owner}*`,
    "-exec",
    "rmdir",
    "{}",
    ";",
  ]);
  void found;
}
