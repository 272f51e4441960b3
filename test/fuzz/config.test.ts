import * as fc from "fast-check";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadCloudConfig, loadEdgeConfig } from "#shared/config";
import { ConfigError } from "#shared/errors";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { fuzz, within } from "./fuzzing.ts";

const nowhere = { workingDir: "/nonexistent", executable: "/nonexistent/bin" };
const conf = join(import.meta.dir, "../../conf");
const samples = ["edge.yaml", "controller.yaml"].map((name) => readFileSync(join(conf, name), "utf8"));
const theirs = [
  "apiVersion: edgecore.config.kubeedge.io/v1alpha2\nkind: EdgeCore\nmodules:\n  eventBus:\n    mqttMode: 2\n    mqttServerExternal: tcp://127.0.0.1:1883\n  edged:\n    hostnameOverride: a\n  edgeHub:\n    websocket:\n      server: 10.0.0.1:10000\n",
  "apiVersion: cloudcore.config.kubeedge.io/v1alpha2\nkind: CloudCore\nmodules:\n  cloudHub:\n    advertiseAddress:\n    - 10.0.0.1\n    nodeLimit: 1000\n",
];

/** The lines of a file without its comments, so that damage hits what is read. */
const lines = [...samples, ...theirs].map((text) =>
  text.split("\n").filter((line) => !/^\s*(#|$)/.test(line)),
);
const value = fc.oneof(
  fc.constantFrom(
    "",
    "null",
    "~",
    "[]",
    "{}",
    "-1",
    "0",
    "1e99",
    ".inf",
    ".nan",
    "true",
    "tcp://%zz@h",
    "tcp://[::1]:99999",
    "'",
    '"\\uD800"',
    "&a [*a]",
    "*a",
    "!!binary x",
    "[{}, null, 1]",
    "{ __proto__: 1 }",
    "0x1F",
    "2026-01-01",
    "|\n  text",
  ),
  fc.string({ unit: "binary", maxLength: 10 }),
);
type Damage = readonly ["value" | "drop" | "double" | "indent" | "cut", number, string];
const damage: fc.Arbitrary<Damage> = fc.tuple(
  fc.constantFrom<Damage[0]>("value", "value", "value", "drop", "double", "indent", "cut"),
  fc.nat(),
  value,
);

function damaged(given: readonly string[], [how, place, text]: Damage): string[] {
  if (given.length === 0) return [text];
  const at = place % given.length;
  const line = given[at] ?? "";
  switch (how) {
    case "value":
      return given.with(at, line.replace(/(:|-)( .*)?$/, `$1 ${text.replaceAll("$", "$$$$")}`));
    case "drop":
      return given.toSpliced(at, 1);
    case "double":
      return given.toSpliced(at, 0, line);
    case "indent":
      return given.with(at, `  ${line}`);
    case "cut":
      return given.slice(0, at);
  }
}

fuzz("configuration files", () =>
  fc.property(fc.constantFrom(...lines), fc.array(damage, { minLength: 1, maxLength: 4 }), (given, all) => {
    using dir = tempDir("fuzz-config");
    const file = join(dir.path, "x.yaml");
    writeFileSync(file, all.reduce(damaged, [...given]).join("\n"));
    unlessRefused(() => loadEdgeConfig({ file, ...nowhere, hostName: "pi" }, {}));
    unlessRefused(() => loadCloudConfig({ file, ...nowhere }, {}));
  }),
);

function unlessRefused(load: () => unknown): void {
  try {
    within(2000, load);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
  }
}
