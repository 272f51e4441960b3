import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ConfigError, describeError, errorCodeOf } from "#shared/errors";

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

test.each<[string, unknown, string | undefined]>([
  ["a system call", thrownBy(() => readFileSync("/no/such/file")), "ENOENT"],
  ["an error of the project", new ConfigError("bad-ca", "text"), "bad-ca"],
  ["an error without a code", new Error("text"), undefined],
  ["a code that is a number", { code: 7 }, undefined],
  ["a text", "ENOENT", undefined],
  ["null", null, undefined],
])("errorCodeOf reads the code of %s", (_name, thrown, code) => {
  expect(errorCodeOf(thrown)).toBe(code);
});

test("describeError names each cause once", () => {
  const cause = new Error("disk full");
  const error = new Error("Cannot write", { cause: new Error("write failed: disk full", { cause }) });
  expect(describeError(error)).toBe("Cannot write: write failed: disk full");
});
