import { expect, test } from "bun:test";
import {
  asRecord,
  asText,
  childOf,
  cloneJson,
  itemsOf,
  nestsDeeper,
  ownField,
  recordOf,
  sameMeaning,
  setField,
  textMapOf,
  textOf,
  textsOf,
  type Json,
  type JsonObject,
  tryJson,
} from "#shared/json";

const parent: JsonObject = { text: "a", list: [{ n: 1 }, "b", null], map: { x: "1", y: 2 }, nothing: null };

test("fields of another type read as absent", () => {
  expect([textOf(parent, "text"), textOf(parent, "map"), textOf(undefined, "text")]).toEqual(["a", "", ""]);
  expect([itemsOf(parent, "list"), textsOf(parent, "list")]).toEqual([[{ n: 1 }], ["b"]]);
  expect([textMapOf(parent, "map"), childOf(parent, "list"), childOf(parent, "toString")]).toEqual([
    { x: "1" },
    undefined,
    undefined,
  ]);
});

test.each<[unknown, Readonly<Record<string, unknown>> | undefined, string]>([
  [{ a: 1 }, { a: 1 }, ""],
  [["a"], undefined, ""],
  [null, undefined, ""],
  ["text", undefined, "text"],
  [5, undefined, ""],
])("unknown value %j is the record %j and the text %p", (value, record, text) => {
  expect([asRecord(value), recordOf(value), asText(value)]).toEqual([record, record ?? {}, text]);
});

test("a field called __proto__ is set, read and copied as any other", () => {
  const object: JsonObject = {};
  setField(object, "__proto__", { polluted: true });
  expect(ownField(cloneJson(object), "__proto__")).toEqual({ polluted: true });
  expect(Object.getPrototypeOf(object)).toBe(Object.prototype);
  expect(ownField({}, "constructor")).toBeUndefined();
});

test.each<[Json | undefined, Json | undefined, boolean]>([
  [undefined, null, true],
  [undefined, { a: "", b: [], c: false }, true],
  [{ a: 1 }, { a: 1, b: 0 }, true],
  [[0], [], false],
  [{ a: 1 }, { a: "1" }, false],
])("%j and %j have the same meaning: %p", (left, right, expected) => {
  expect(sameMeaning(left, right)).toBe(expected);
});

test("depth is counted without recursion", () => {
  let deep: Json = 1;
  for (let n = 0; n < 100_000; n += 1) deep = [deep];
  expect([nestsDeeper([[1]], 2), nestsDeeper([[1]], 0), nestsDeeper(deep, 1000)]).toEqual([
    false,
    true,
    true,
  ]);
});

test.each<[string, unknown]>([
  ['{"a":[1,null]}', { a: [1, null] }],
  ["null", null],
  ["", undefined],
  ["{a:1}", undefined],
])("tryJson reads %j", (text, value) => {
  expect(tryJson(text)).toEqual(value as never);
});
