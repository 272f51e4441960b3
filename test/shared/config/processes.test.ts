import { expect, test } from "bun:test";
import {
  findProcessesProblems,
  toProcesses,
  type ProcessesValues,
} from "#internal/shared/config/processes.ts";

const given: ProcessesValues = {
  enabled: true,
  programs: ["/opt/edge/bin"],
  "user-range": "2000000-2065535",
  users: [],
  groups: [20],
};

test("programs are allowed with their users", () => {
  expect(findProcessesProblems(given)).toEqual([]);
  expect(toProcesses(given)).toEqual({
    programs: ["/opt/edge/bin"],
    first: 2_000_000,
    last: 2_065_535,
    users: [],
    groups: [20],
  });
  expect(toProcesses({ ...given, enabled: false })).toBeUndefined();
});

test("a section that allows no program, or every one, is refused with its field", () => {
  const problemsOf = (over: Partial<ProcessesValues>): string =>
    findProcessesProblems({ ...given, ...over }).join();
  expect(problemsOf({ programs: [] })).toContain("edged.processes.programs: expected directories or files");
  for (const path of ["/", "bin", "/opt/../bin", "/opt//bin", "/opt/bin/", ""])
    expect(problemsOf({ programs: [path] })).toContain(
      "edged.processes.programs: expected paths from the root",
    );
  for (const range of ["0-65535", "1000-1001", "2000-1000", "2000000-4294967295"])
    expect(problemsOf({ "user-range": range })).toContain(
      "edged.processes.user-range: expected at least 256 numbers",
    );
  expect(findProcessesProblems({ ...given, enabled: false, programs: [] })).toEqual([]);
});
