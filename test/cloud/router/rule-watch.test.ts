import { expect, test } from "bun:test";
import type { Informer } from "#cloud/kube-client";
import { RuleWatch, type RuleWatchOptions } from "#internal/cloud/router/rule-watch.ts";
import type { Rule } from "#shared/kube";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";

type Handlers = Parameters<Informer<Rule>["watch"]>[0];

test("a status that is written leaves the rules as they are read, and another spec does not", async () => {
  let handlers: Partial<Handlers> = {};
  const none = { list: () => [], get: () => undefined, watch: () => ({ [Symbol.dispose]: () => undefined }) };
  const rules = {
    ...none,
    watch: (given: Handlers) => {
      handlers = given;
      return none.watch();
    },
  };
  const clock = new FakeClock();
  const parts = { rules, endpoints: none, nodes: none, clock };
  using watch = new RuleWatch(parts as unknown as RuleWatchOptions);
  const touches: string[][] = [];
  watch.start({ changed: (touched) => void touches.push([...touched]), removed: () => undefined });
  const spec = { source: "a", sourceResource: {}, target: "b", targetResource: {} };
  const rule = { metadata: { name: "web", namespace: "default", uid: "1" }, spec } as unknown as Rule;
  const book = watch.book();
  handlers.updated?.({ ...rule, status: { state: "Active" } }, rule);
  const same = watch.book() === book;
  handlers.updated?.({ ...rule, spec: { ...rule.spec, target: "c" } }, rule);
  expect([same, watch.book() === book]).toEqual([true, false]);
  handlers.added?.({ ...rule, metadata: { ...rule.metadata, name: "other" } });
  await clock.advance(50);
  expect(touches).toEqual([["default/web", "default/other"]]);
});
