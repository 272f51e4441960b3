import { expect, test } from "bun:test";
import { findViolations } from "#internal/scripts/boundaries/check.ts";
import { readImports } from "#internal/scripts/boundaries/imports.ts";

const planted: readonly (readonly [what: string, file: string, text: string, violation: string])[] = [
  ["cloud importing edge", "cloud/cloud-hub/a.ts", 'import { x } from "#edge/store";', "not allowed here"],
  [
    "edge importing cloud",
    "edge/edged/a.ts",
    'import type { X } from "#cloud/kube-client";',
    "not allowed here",
  ],
  [
    "a module importing a module",
    "edge/edged/a.ts",
    'import { x } from "#edge/edge-hub";',
    "not allowed here",
  ],
  [
    "a module taking a leaf's value",
    "edge/edged/a.ts",
    'import { openStore } from "#edge/store";',
    "only its types",
  ],
  [
    "mixed type and value names",
    "edge/edged/a.ts",
    'import { type A, b } from "#edge/store";',
    "only its types",
  ],
  [
    "a re-export of a leaf's value",
    "edge/edged/a.ts",
    'export { openStore } from "#edge/store";',
    "only its types",
  ],
  ["a way up", "edge/edged/a.ts", 'import { x } from "../store/index.ts";', 'not ".."'],
  [
    "a product file using an inner path",
    "edge/edged/a.ts",
    'import { x } from "#internal/edge/store/a.ts";',
    "only tests",
  ],
  [
    "a second door to a library",
    "edge/edged/a.ts",
    'import { Database } from "bun:sqlite";',
    "its door is edge/store",
  ],
  [
    "a second door to a scoped library",
    "cloud/cloud-hub/a.ts",
    'import * as k from "@kubernetes/client-node";',
    "its door",
  ],
  [
    "a library under a prefix",
    "edge/edged/a.ts",
    'import { credentials } from "@grpc/grpc-js";',
    "its door is edge/runtime/device-plugins",
  ],
  [
    "the wire outside of the codec",
    "edge/edged/a.ts",
    'import type { WireMessage } from "#shared/wire";',
    "its door is cloud/cloud-hub/codec, edge/edge-hub/codec",
  ],
  ["a dynamic import", "edge/edged/a.ts", 'const m = await import("dockerode");', "its door is edge/runtime"],
  [
    "a leaf that knows the bus",
    "edge/store/a.ts",
    'import type { Port } from "#shared/bus";',
    "not allowed here",
  ],
  [
    "a shared folder that reaches up",
    "shared/wire/a.ts",
    'import { Bus } from "#shared/bus";',
    "not allowed here",
  ],
  [
    "the own folder by alias",
    "edge/store/a.ts",
    'import { x } from "#edge/store";',
    'imported by "./name.ts"',
  ],
  ["the environment", "edge/edged/a.ts", "const home = process.env.HOME;", "uses process.env"],
  ["the end of the process", "shared/log/a.ts", "process.exit(1);", "uses process.exit"],
  ["time without the clock", "edge/edged/a.ts", "const now = Date.now();", "uses Date.now("],
  ["a timer of the event loop", "edge/edged/a.ts", "setImmediate(run);", "uses setImmediate("],
  ["a microtask", "cloud/kube-api/store/a.ts", "queueMicrotask(run);", "uses queueMicrotask("],
  [
    "hono behind another door",
    "edge/edged/a.ts",
    'import { Hono } from "hono";',
    "its door is cloud/kube-api",
  ],
  [
    "a submodule of zod behind another door",
    "edge/edged/a.ts",
    'import * as z from "zod/mini";',
    "its door is shared/config",
  ],
  [
    "an import after another statement",
    "edge/edged/a.ts",
    'const a = 1;\nimport {\n  x,\n} from "#cloud/commands/check";',
    "not allowed",
  ],
];

test.each(planted)("boundary check finds %s", (_what, file, text, violation) => {
  const found = findViolations(new Map([[file, text]]));
  expect(found).toHaveLength(1);
  expect(found[0]).toStartWith(`${file}: `);
  expect(found[0]).toContain(violation);
});

test("boundary check allows what the table allows", () => {
  const sources = new Map([
    [
      "edge/edged/index.ts",
      'import type { Store } from "#edge/store";\nimport { quote } from "#shared/errors";',
    ],
    ["edge/store/index.ts", 'import { Database } from "bun:sqlite";\nimport { x } from "./other.ts";'],
    ["edge/store/other.ts", "// process.env in a comment\nexport const x = 1;"],
    ["edge/compose.ts", 'import { openStore } from "#edge/store";'],
    ["edge/main.ts", 'import { startEdgecore } from "./compose.ts";\nconst home = process.env["HOME"];'],
    ["test/edge/a.test.ts", 'import { x } from "#internal/edge/store/other.ts";'],
  ]);
  expect(findViolations(sources)).toEqual([]);
});

test("boundary check reports a cycle of value imports once", () => {
  const sources = new Map([
    ["edge/edged/a.ts", 'import { b } from "./b.ts";'],
    ["edge/edged/b.ts", 'import { c } from "./c.ts";'],
    ["edge/edged/c.ts", 'import { a } from "./a.ts";'],
  ]);
  expect(findViolations(sources)).toEqual([
    "edge/edged/a.ts: cycle edge/edged/a.ts -> edge/edged/b.ts -> edge/edged/c.ts -> edge/edged/a.ts",
  ]);
});

test("boundary check finds a cycle that types close", () => {
  const sources = new Map([
    ["edge/edged/a.ts", 'import { b } from "./b.ts";'],
    ["edge/edged/b.ts", 'import type { C } from "./c.ts";'],
    ["edge/edged/c.ts", 'import { type A } from "./a.ts";'],
  ]);
  expect(findViolations(sources)).toEqual([
    "edge/edged/a.ts: type cycle edge/edged/a.ts -> edge/edged/b.ts -> edge/edged/c.ts -> edge/edged/a.ts",
  ]);
});

test("boundary check refuses a folder of more entries than are read at a glance", () => {
  const entries = ["pods/a.ts", "pods/b.ts", ...Array.from({ length: 13 }, (_, index) => `f${index}.ts`)];
  const sources = new Map(entries.map((entry) => [`edge/edged/${entry}`, ""]));
  expect(findViolations(sources)).toEqual(["edge/edged: 14 entries, at most 13"]);
});

test("boundary check refuses a file of more than 400 lines, but for tests", () => {
  const sources = new Map([
    ["edge/edged/long.ts", "// line\n".repeat(401)],
    ["edge/edged/full.ts", "// line\n".repeat(400)],
    ["test/edge/edged/long.test.ts", "// line\n".repeat(500)],
  ]);
  expect(findViolations(sources)).toEqual(["edge/edged/long.ts: 401 lines, at most 400"]);
});

test("boundary check lets the folders of a component use each other", () => {
  const sources = new Map([
    ["edge/mqtt/broker/index.ts", 'import { Sessions } from "#edge/mqtt/sessions";'],
    ["edge/mqtt/sessions/index.ts", ""],
  ]);
  expect(findViolations(sources)).toEqual([]);
});

test("boundary check names the missing end of a topic", () => {
  const catalog = `export interface EdgeCatalog {
  /** emitted and received */
  "pod.changed": { event: string };
  "pod.list": { body: string; reply: string };
}`;
  const sources = new Map([
    ["shared/topics/edge-catalog.ts", catalog],
    [
      "shared/topics/cloud-catalog.ts",
      'export interface CloudCatalog {\n  "node.gone": { event: string };\n}',
    ],
    ["edge/edged/a.ts", 'port.on("pod.changed", hear);\nport.ask(\n  "pod.list", {});'],
    ["edge/meta-manager/a.ts", 'void port.emit("pod.changed", x);'],
    ["cloud/cloud-hub/a.ts", 'port.emit("node.gone", x);\nport.on("node.gone", y);'],
  ]);
  expect(findViolations(sources)).toEqual([
    'shared/topics/edge-catalog.ts: no edge module calls answer("pod.list")',
  ]);
});

test("import reader distinguishes erased imports from kept ones", () => {
  const text = `import "reflect-metadata";
import { a, type B } from "one";
import type { C } from "two";
import {
  type D,
  type E,
} from "three";
export type { F } from "four";
export { g } from "five";
export const h = "six";
type I = import("seven").I;
// import { j } from "eight";
`;
  expect(readImports(text)).toEqual([
    { from: "reflect-metadata", typeOnly: false },
    { from: "one", typeOnly: false },
    { from: "two", typeOnly: true },
    { from: "three", typeOnly: true },
    { from: "four", typeOnly: true },
    { from: "five", typeOnly: false },
    { from: "seven", typeOnly: true },
  ]);
});
