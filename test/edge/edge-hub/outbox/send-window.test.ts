import { expect, test } from "bun:test";
import { SendWindow, type SentMessage } from "#internal/edge/edge-hub/outbox/send-window.ts";

function messages(count: number, bytes: number): SentMessage[] {
  return Array.from({ length: count }, (_, id) => ({
    id,
    msgId: `m${id}`,
    lane: "twin",
    bytes,
    tries: 1,
    sentMs: 0,
    dueMs: 0,
    patience: 3,
    isParked: false,
  }));
}

function windowOf(sent: readonly SentMessage[]): SendWindow {
  const window = new SendWindow();
  for (const message of sent) window.add(message);
  return window;
}

test("send window has room for what is not under way", () => {
  const sent = messages(60, 10);
  const window = windowOf(sent);
  const before = window.roomFor(64);
  for (const message of sent.slice(0, 10)) window.remove(message);
  expect([before, window.roomFor(64)]).toEqual([4, 14]);
});

test("send window does not count parked messages, up to 448 of them", () => {
  const sent = messages(500, 10);
  const window = windowOf(sent);
  for (const message of sent) window.park(message);
  expect(window.roomFor(64)).toBe(64 - (500 - 448));
});

test("send window takes two megabytes, or one larger message alone", () => {
  const window = new SendWindow();
  const alone = window.fits(30_000_000);
  for (const message of messages(3, 600_000)) window.add(message);
  expect([alone, window.fits(200_000), window.fits(200_001)]).toEqual([true, true, false]);
});

test("send window counts a message once, whatever happens to it twice", () => {
  const [message] = messages(1, 1_900_000) as [SentMessage];
  const window = windowOf([message]);
  window.park(message);
  window.park(message);
  const parked = [window.hasParked, window.fits(2_000_000)];
  const removed = [window.remove(message), window.remove(message)];
  expect({ parked, removed, hasParked: window.hasParked, room: window.roomFor(64) }).toEqual({
    parked: [true, true],
    removed: [true, false],
    hasParked: false,
    room: 64,
  });
});
