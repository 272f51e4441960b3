import { expect, test } from "bun:test";
import { withTag } from "#internal/edge/runtime/container-runtime.ts";
import { pauseArchive, pauseProgram } from "#internal/edge/runtime/pause-image/program.ts";

test("withTag adds latest only to a reference without tag and digest", () => {
  const refs = ["nginx", "nginx:1", "host:5000/a/b", "host:5000/a:2", "a@sha256:00"];
  expect(refs.map(withTag)).toEqual([
    "nginx:latest",
    "nginx:1",
    "host:5000/a/b:latest",
    "host:5000/a:2",
    "a@sha256:00",
  ]);
});

test("pause programs are ELF files of their machine, a few hundred bytes long", () => {
  const programs = [pauseProgram("amd64"), pauseProgram("arm64")].map((file) => Buffer.from(file));
  expect(
    programs.map((file) => [file.toString("latin1", 1, 4), file.readUInt16LE(18), file.length < 300]),
  ).toEqual([
    ["ELF", 0x3e, true],
    ["ELF", 0xb7, true],
  ]);
  expect(pauseArchive("arm64").length).toBe(2048);
});
