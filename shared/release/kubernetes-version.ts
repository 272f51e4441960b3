import { commit } from "./version.ts";

/** Git's id of nothing, since clients expect a hexadecimal one: a program that runs from its sources has no commit. */
const noCommit = "0".repeat(40);
const [commitId] = /^[0-9a-f]+/.exec(commit) ?? [];

/** The answer to `/version` of an API of ours; its minor version is the one of Kubernetes whose behavior is followed. */
export function kubernetesVersion(build: string) {
  return {
    major: "1",
    minor: "32",
    gitVersion: `v1.32.0+${build}`,
    gitCommit: commitId ?? noCommit,
    gitTreeState: commitId === commit ? "clean" : "dirty",
    buildDate: "2026-01-01T00:00:00Z",
    goVersion: "none",
    compiler: "bun",
    platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
  } as const;
}
