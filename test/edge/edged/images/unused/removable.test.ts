import { expect, test } from "bun:test";
import { bytesToFree, removableImages, usedPercent } from "#internal/edge/edged/images/unused/removable.ts";

const policy = { highPercent: 85, lowPercent: 80, minimumAgeMs: 120_000, maximumAgeMs: undefined };

test.each([
  [100, 16, 84, 0],
  [100, 15, 85, 5],
  [100, 0, 100, 20],
  // What is left is rounded down, as in kubelet: 14.9 % is 14 %.
  [1000, 159, 85, 41],
  [1000, 160, 84, 0],
])(
  "a disk of %p with %p left is %p %% full: %p bytes are to be freed",
  (capacityBytes, availableBytes, percent, bytes) => {
    const usage = { capacityBytes, availableBytes };
    expect([usedPercent(usage), bytesToFree(usage, policy)]).toEqual([percent, bytes]);
  },
);

test("a disk of unknown size, and a threshold of 100, free nothing", () => {
  expect([
    bytesToFree({ capacityBytes: 0, availableBytes: 0 }, policy),
    bytesToFree({ capacityBytes: 100, availableBytes: 0 }, { ...policy, highPercent: 100 }),
  ]).toEqual([0, 0]);
});

test("images are removable when old enough and of no use, the longest unused first", () => {
  const ages: Record<string, [ageMs: number, unusedMs: number]> = {
    used: [9e6, 0],
    pinned: [9e6, 9e6],
    held: [9e6, 9e6],
    young: [119_999, 119_999],
    recent: [120_000, 1000],
    longest: [200_000, 150_000],
    older: [300_000, 1000],
  };
  const images = Object.keys(ages).map((id) => ({ id, names: [id], sizeBytes: 1, pinned: id === "pinned" }));
  const candidates = {
    images,
    used: new Set(["used"]),
    isHeld: (id: string) => id === "held",
    age: (id: string) => ({ ageMs: ages[id]?.[0] ?? 0, unusedMs: ages[id]?.[1] ?? 0 }),
  };
  expect(removableImages(candidates, policy).map(({ id }) => id)).toEqual(["longest", "older", "recent"]);
});
