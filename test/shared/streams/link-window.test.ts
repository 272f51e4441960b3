import { expect, test } from "bun:test";
import { LinkWindow, reportEveryBytes } from "#internal/shared/streams/link-window.ts";

const kibibyte = 1024;

/** A link of a given rate and delay, on which as much is sent as the window lets. */
class SlowLink {
  nowMs = 0;
  readonly window = new LinkWindow(() => this.nowMs);
  readonly #bytesPerMs: number;
  readonly #delayMs: () => number;
  readonly #flying: { readonly bytes: number; readonly dueMs: number }[] = [];
  #freeMs = 0;

  constructor(bytesPerMs: number, delayMs: () => number) {
    this.#bytesPerMs = bytesPerMs;
    this.#delayMs = delayMs;
  }

  get flyingBytes(): number {
    return this.#flying.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    while (this.nowMs < endMs) {
      while (this.window.canSend()) this.#send(reportEveryBytes);
      const next = this.#flying.shift();
      if (!next) return;
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      expect(this.window.received(next.bytes)).toBe(true);
    }
  }

  #send(bytes: number): void {
    this.window.sent(bytes);
    this.#freeMs = Math.max(this.#freeMs, this.nowMs) + bytes / this.#bytesPerMs;
    this.#flying.push({ bytes, dueMs: this.#freeMs + this.#delayMs() });
  }
}

test("a slow link has little on its way, so that messages are not late", () => {
  const link = new SlowLink(64, () => 50);
  link.run(30_000);
  expect(link.flyingBytes).toBeLessThanOrEqual(128 * kibibyte);
});

test("a fast link with a long way is kept busy", () => {
  const link = new SlowLink(5000, () => 100);
  link.run(10_000);
  expect(link.flyingBytes).toBeGreaterThan(400 * kibibyte);
});

test("a link whose way becomes longer is kept busy again after some minutes", () => {
  let delayMs = 20;
  const link = new SlowLink(5000, () => delayMs);
  link.run(5000);
  delayMs = 600;
  link.run(700_000);
  expect(link.flyingBytes).toBeGreaterThan(1000 * kibibyte);
});

test("a report of more than was sent is none", () => {
  const window = new LinkWindow(() => 0);
  window.sent(10);
  expect([window.received(10), window.received(1)]).toEqual([true, false]);
});
