import { expect, test } from "bun:test";
import { FairTurns } from "#internal/cloud/router/delivery/fair-turns.ts";

function startAll(turns: FairTurns<{ readonly rule: string }>): { rules: string; places: Disposable[] } {
  const rules: string[] = [];
  const places: Disposable[] = [];
  for (let next = turns.next(); next; next = turns.next()) {
    rules.push(next.item.rule);
    places.push(next.place);
  }
  return { rules: rules.join(""), places };
}

function waiting(rules: string): FairTurns<{ readonly rule: string }> {
  const turns = new FairTurns<{ readonly rule: string }>(8);
  for (const rule of rules) turns.add({ rule });
  return turns;
}

test("rules take turns", () => {
  expect(startAll(waiting("aaabbc")).rules).toBe("abcaba");
});

test("a rule that does not get on leaves half of the places, and the next of that kind half of the rest", () => {
  const turns = waiting("aaaaaaaaaa");
  expect(startAll(turns).rules).toBe("aaaa");
  for (const rule of "bbbbbb") turns.add({ rule });
  expect(startAll(turns).rules).toBe("bb");
  turns.add({ rule: "c" });
  expect(startAll(turns).rules).toBe("c");
});

test("a place that was given back is used by what waits", () => {
  const turns = waiting("aaaaaa");
  const { places } = startAll(turns);
  expect(startAll(turns).rules).toBe("");
  for (const place of places) place[Symbol.dispose]();
  expect(startAll(turns).rules).toBe("aa");
});
