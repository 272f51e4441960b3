import { expect, test } from "bun:test";
import {
  formatLabelSelector,
  hasLabels,
  isEmptySelector,
  matchesLabelSelector,
  meetsLabelExpressions,
  parseLabelSelector,
  type LabelSelector,
} from "#shared/kube";

const labels = { app: "web", tier: "back", size: "12" };

const objects: readonly (readonly [LabelSelector | undefined, boolean])[] = [
  [undefined, false],
  [{}, true],
  [{ matchLabels: { app: "web" } }, true],
  [{ matchLabels: { app: "web", tier: "front" } }, false],
  [{ matchLabels: { constructor: "Object" } }, false],
  [{ matchExpressions: [{ key: "app", operator: "In", values: ["web", "api"] }] }, true],
  [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] }, false],
  [{ matchExpressions: [{ key: "none", operator: "NotIn", values: ["web"] }] }, true],
  [{ matchExpressions: [{ key: "tier", operator: "Exists" }] }, true],
  [{ matchExpressions: [{ key: "toString", operator: "Exists" }] }, false],
  [{ matchExpressions: [{ key: "none", operator: "DoesNotExist" }] }, true],
  [{ matchExpressions: [{ key: "size", operator: "Gt", values: ["9"] }] }, true],
  [{ matchExpressions: [{ key: "size", operator: "Lt", values: ["9"] }] }, false],
  [{ matchExpressions: [{ key: "app", operator: "Gt", values: ["9"] }] }, false],
  [{ matchExpressions: [{ key: "app", operator: "Like", values: ["w"] }] }, false],
  [{ matchLabels: { app: "web" }, matchExpressions: [{ key: "tier", operator: "DoesNotExist" }] }, false],
];

test.each(objects)("label selector %j matches: %p", (selector, expected) => {
  expect(matchesLabelSelector(selector, labels)).toBe(expected);
});

test.each([
  ["", true],
  ["app=web", true],
  ["app==web,tier!=front", true],
  ["app in (api, web),!none", true],
  ["app notin (web)", false],
  ["size>9,size<13", true],
  ["tier", true],
] as const)("label selector text %p matches: %p", (text, expected) => {
  const parsed = parseLabelSelector(text);
  expect(parsed.ok && meetsLabelExpressions(parsed.requirements, labels)).toBe(expected);
});

test.each([
  ["app=web,=x", "=x"],
  ["app in (", "app in ("],
  ["size>many", "size>many"],
  ["!app=web", "!app=web"],
  [`a=${"x".repeat(64)}`, `a=${"x".repeat(64)}`],
])("label selector text %p is refused with its term", (text, term) => {
  expect(parseLabelSelector(text)).toEqual({ ok: false, term });
});

test("label selector is written as kubectl writes it, in order of its keys", () => {
  const selector = {
    matchLabels: { tier: "back" },
    matchExpressions: [
      { key: "size", operator: "In", values: ["2", "1"] },
      { key: "app", operator: "Exists" },
      { key: "beta", operator: "DoesNotExist" },
      { key: "zone", operator: "NotIn", values: ["a"] },
    ],
  };
  expect(formatLabelSelector(selector)).toBe("app,!beta,size in (1,2),tier=back,zone notin (a)");
});

test("an empty map of labels is part of every object, and a selector without terms is empty", () => {
  expect([hasLabels(labels, {}), hasLabels({}, { app: "web" })]).toEqual([true, false]);
  expect([isEmptySelector({}), isEmptySelector({ matchLabels: {} })]).toEqual([true, true]);
  expect(isEmptySelector({ matchExpressions: [{ key: "a", operator: "Exists" }] })).toBe(false);
});
