import { expect, test } from "bun:test";
import { startFigures } from "#internal/edge/mqtt/broker/sys-figures.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";

test("broker shows in $SYS how many clients read too slowly and what was dropped for them", () => {
  const published = new Map<string, string>();
  using _figures = startFigures({
    counts: () => ({
      sessions: 0,
      subscriptions: 0,
      retained: 0,
      queued: 0,
      clients: 3,
      live: 3,
      slow: { slow: 2, bytes: 1_000_000, cut: 1 },
    }),
    traffic: { received: 0, receivedBytes: 0, sent: 0, sentBytes: 0, dropped: 7 },
    version: "0.0.0",
    clock: new FakeClock(),
    publish: (topic, payload) => published.set(topic, payload),
  });
  const names = [
    "publish/messages/dropped",
    "clients/slow",
    "clients/slow/bytes",
    "clients/slow/disconnected",
  ];
  expect(names.map((name) => published.get(`$SYS/broker/${name}`))).toEqual(["7", "2", "1000000", "1"]);
});
