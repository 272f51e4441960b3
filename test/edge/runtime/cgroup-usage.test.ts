import { expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CgroupUsage, readEngineStats } from "#edge/runtime/usage";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const id = "4f5be9b6f1c2";

/** /proc and /sys/fs/cgroup with these files. */
function machine(files: Readonly<Record<string, string>>): Disposable & {
  readonly usage: CgroupUsage;
  readonly remove: (path: string) => void;
} {
  const dir = tempDir("cgroups");
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir.path, path)), { recursive: true });
    writeFileSync(join(dir.path, path), `${text}\n`);
  }
  const usage = new CgroupUsage({ proc: join(dir.path, "proc"), cgroup: join(dir.path, "cgroup") });
  return {
    usage,
    remove: (path) => rmSync(join(dir.path, path), { recursive: true }),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

const first = {
  "proc/7/cgroup": `4:memory:/docker/${id}\n2:cpu,cpuacct:/docker/${id}\n0::/`,
  [`cgroup/cpuacct/docker/${id}/cpuacct.usage`]: "1500",
  [`cgroup/memory/docker/${id}/memory.usage_in_bytes`]: "9000",
  [`cgroup/memory/docker/${id}/memory.stat`]:
    "cache 1\ninactive_file 1\ntotal_cache 5000\ntotal_rss 3500\ntotal_inactive_file 4000",
};
const unified = `cgroup/system.slice/docker-${id}.scope`;
const second = {
  "proc/7/cgroup": `0::/system.slice/docker-${id}.scope`,
  [`${unified}/cpu.stat`]: "usage_usec 2\nuser_usec 1\nsystem_usec 1",
  [`${unified}/memory.current`]: "9000",
  [`${unified}/memory.stat`]: "anon 3500\nfile 5000\ninactive_file 4000",
};
const memory = { usageBytes: 9000, workingSetBytes: 5000, rssBytes: 3500, cacheBytes: 5000 };

test("usage is read from control groups of version 1", () => {
  using at = machine(first);
  expect(at.usage.find(id, 7)).toBe(true);
  expect(at.usage.read(id)).toEqual({ cpuNanoseconds: 1500, ...memory });
});

test("usage is read from control groups of version 2", () => {
  using at = machine(second);
  expect(at.usage.find(id, 7)).toBe(true);
  expect(at.usage.read(id)).toEqual({ cpuNanoseconds: 2000, ...memory });
});

test("the working set is not negative when more files are unused than memory is counted", () => {
  using at = machine({ ...second, [`${unified}/memory.current`]: "3000" });
  at.usage.find(id, 7);
  expect(at.usage.read(id)?.workingSetBytes).toBe(0);
});

test("a process of another container is not taken for one of this", () => {
  using at = machine({ ...second, "proc/7/cgroup": "0::/system.slice/docker-other.scope" });
  expect(at.usage.find(id, 7)).toBe(false);
});

test("a container has no usage when it has ended", () => {
  using at = machine(second);
  at.usage.find(id, 7);
  at.remove(unified);
  expect(at.usage.read(id)).toBeUndefined();
});

test("a container without processes has ended, although its control group is there", () => {
  using at = machine({ ...second, [`${unified}/pids.current`]: "0" });
  expect([at.usage.find(id, 7), at.usage.read(id)]).toEqual([false, undefined]);
});

test("a container is not found when its files are in another mount", () => {
  using at = machine({ "proc/7/cgroup": `0::/../docker-${id}.scope` });
  expect(at.usage.find(id, 7)).toBe(false);
});

test("Docker's own answer gives the same numbers", () => {
  const stats = {
    cpu_stats: { cpu_usage: { total_usage: 1500 } },
    memory_stats: { usage: 9000, stats: { inactive_file: 4000, anon: 3500, file: 5000 } },
  };
  expect(readEngineStats(stats)).toEqual({ cpuNanoseconds: 1500, ...memory });
});

test("Docker's answer for a container that has ended is no usage", () => {
  expect(readEngineStats({ cpu_stats: { cpu_usage: { total_usage: 0 } }, memory_stats: {} })).toBeUndefined();
});
