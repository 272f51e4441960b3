import { expect, test } from "bun:test";
import { FanOut } from "#cloud/kube-api/flow-control";
import { nextTurn } from "#shared/clock";

test("fan-out notifies a few watchers at once and the others in later turns, in order", async () => {
  const fanOut = new FanOut(2);
  const seen: number[] = [];
  for (let at = 0; at < 7; at += 1) fanOut.run(() => seen.push(at));
  expect(seen).toEqual([0, 1]);
  await nextTurn();
  expect(seen).toEqual([0, 1, 2, 3]);
  fanOut.run(() => seen.push(7));
  await nextTurn();
  await nextTurn();
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test("fan-out notifies at once again when nobody waits", async () => {
  const fanOut = new FanOut(2);
  const seen: string[] = [];
  fanOut.run(() => seen.push("a"));
  fanOut.run(() => seen.push("b"));
  await nextTurn();
  fanOut.run(() => seen.push("c"));
  expect(seen).toEqual(["a", "b", "c"]);
});

test("fan-out notifies more in a turn the more wait", async () => {
  const fanOut = new FanOut(2);
  let notified = 0;
  for (let at = 0; at < 1000; at += 1) fanOut.run(() => (notified += 1));
  await nextTurn();
  expect(notified).toBe(2 + 250);
  for (let turn = 0; turn < 40; turn += 1) await nextTurn();
  expect(notified).toBe(1000);
});

test("fan-out makes the bytes of a batch once for watchers that see it alike", () => {
  const fanOut = new FanOut();
  const [batch, next] = [[], []];
  let made = 0;
  const make = (): Uint8Array => Uint8Array.of((made += 1));
  const lines = (of: object, key: string): number | undefined => fanOut.linesOf(of, key, make)[0];
  expect([
    lines(batch, "a"),
    lines(batch, "a"),
    lines(batch, "b"),
    lines(next, "a"),
    lines(batch, "a"),
  ]).toEqual([1, 1, 2, 3, 1]);
});
