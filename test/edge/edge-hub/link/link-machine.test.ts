import { describe, expect, test } from "bun:test";
import {
  stepLink,
  type LinkEvent,
  type LinkState,
  type LinkStep,
} from "#internal/edge/edge-hub/link/link-machine.ts";

const now = 1_000_000;
const up: LinkState = { kind: "up", attempt: 3, sinceMs: 0 };
const table: readonly [string, LinkState, LinkEvent, LinkStep][] = [
  [
    "dials when due",
    { kind: "waiting", attempt: 0 },
    { kind: "due" },
    { state: { kind: "dialing", attempt: 0 }, effects: [{ kind: "dial" }] },
  ],
  [
    "reports that it is up",
    { kind: "dialing", attempt: 2 },
    { kind: "opened" },
    { state: { kind: "up", attempt: 2, sinceMs: now }, effects: [{ kind: "up" }] },
  ],
  [
    "starts over after a link that held",
    up,
    { kind: "closed", reason: "cut" },
    {
      state: { kind: "waiting", attempt: 1, outSinceMs: now },
      effects: [
        { kind: "down", reason: "cut" },
        { kind: "wait", ms: 250 },
      ],
    },
  ],
  [
    "waits longer after a link that did not hold",
    { ...up, sinceMs: now - 1000, outSinceMs: now - 6000 },
    { kind: "closed", reason: "cut" },
    {
      state: { kind: "waiting", attempt: 4, outSinceMs: now - 6000 },
      effects: [
        { kind: "down", reason: "cut" },
        { kind: "wait", ms: 1500 },
      ],
    },
  ],
  [
    "waits at most three seconds in a young outage",
    { kind: "dialing", attempt: 40, outSinceMs: now - 599_999 },
    { kind: "closed", reason: "away" },
    {
      state: { kind: "waiting", attempt: 41, outSinceMs: now - 599_999 },
      effects: [{ kind: "wait", ms: 1500 }],
    },
  ],
  [
    "waits at most half a minute in an old outage",
    { kind: "dialing", attempt: 40, outSinceMs: now - 600_000 },
    { kind: "closed", reason: "away" },
    {
      state: { kind: "waiting", attempt: 41, outSinceMs: now - 600_000 },
      effects: [{ kind: "wait", ms: 15_000 }],
    },
  ],
  [
    "waits as long as the cloud asks",
    { kind: "dialing", attempt: 0 },
    { kind: "closed", reason: "busy", retryAfterMs: 7000 },
    { state: { kind: "waiting", attempt: 1, outSinceMs: now }, effects: [{ kind: "wait", ms: 7000 }] },
  ],
  [
    "pings a link that is alive",
    up,
    { kind: "tick", silentMs: 5000 },
    { state: up, effects: [{ kind: "ping" }] },
  ],
  [
    "drops a silent link",
    up,
    { kind: "tick", silentMs: 12_000 },
    { state: up, effects: [{ kind: "drop", reason: "no byte from the cloud for 12 s" }] },
  ],
  ["stays ended", { kind: "ended" }, { kind: "due" }, { state: { kind: "ended" }, effects: [] }],
];

describe("link machine", () => {
  test.each(table)("%s", (_name, state, event, expected) => {
    expect(stepLink(state, event, { nowMs: now, random: 0.5 })).toEqual(expected);
  });
});
