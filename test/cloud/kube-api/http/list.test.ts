import { expect, test } from "bun:test";
import { StreamPool } from "#cloud/kube-api/flow-control";
import { answerList, readAccept } from "#cloud/kube-api/http";
import { builtinKinds } from "#cloud/kube-api/kinds";
import { systemClock } from "#shared/clock";
import { seeded } from "#internal/test/support/seeded.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

const kind = builtinKinds().find(({ plural }) => plural === "configmaps");

test("a list has each object once and in order, however large they are and however many are read at once", async () => {
  if (!kind) throw new Error("there are no ConfigMaps");
  const random = seeded(7);
  const items = Array.from({ length: 700 }, (_, at) => {
    if (random() < 0.05) return undefined;
    const size = random() < 0.05 ? 200_000 : Math.floor(2000 * random());
    return JSON.stringify({ metadata: { name: `c${at}` }, data: { filler: "x".repeat(size) } });
  });
  using pool = new StreamPool({ clock: systemClock, log: silentLog() });
  const asked: number[] = [];
  const response = answerList(
    kind,
    {
      count: items.length,
      read: (from, to) => {
        asked.push(to - from);
        return items.slice(from, Math.min(to, from + 1 + Math.floor(40 * random())));
      },
    },
    {
      wanted: readAccept(null, null, kind),
      nowMs: 0,
      metadata: { resourceVersion: "1" },
      open: (source, options) =>
        pool.open(source, options, { user: "jane", exempt: false, cut: () => undefined }),
      done: () => undefined,
    },
  );
  const { items: listed } = (await response.json()) as { items: { metadata: { name: string } }[] };
  const names = (texts: (string | undefined)[]): string[] =>
    texts.flatMap((text) =>
      text === undefined ? [] : [(JSON.parse(text) as { metadata: { name: string } }).metadata.name],
    );
  expect(listed.map(({ metadata }) => metadata.name)).toEqual(names(items));
  expect(Math.max(...asked)).toBeGreaterThan(20);
});
