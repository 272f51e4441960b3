import { expect, test } from "bun:test";
import { retryAfterMs } from "#internal/edge/edge-hub/link/refusal.ts";

const now = Date.parse("2026-01-01T00:00:00Z");

test.each<[string, string | undefined, number | undefined]>([
  ["nothing", undefined, undefined],
  ["seconds", "120", 120_000],
  ["a date", "Thu, 01 Jan 2026 00:00:30 GMT", 30_000],
  ["a date that is over", "Wed, 31 Dec 2025 00:00:00 GMT", 0],
  ["a text", "soon", undefined],
])("link reads %s in Retry-After", (_name, value, expected) => {
  expect(retryAfterMs(value, now)).toBe(expected);
});
