/** Where the link stands. `attempt` counts dials since the link last held. */
export type LinkState =
  | { readonly kind: "waiting"; readonly attempt: number }
  | { readonly kind: "dialing"; readonly attempt: number }
  | { readonly kind: "up"; readonly attempt: number; readonly sinceMs: number }
  | { readonly kind: "ended" };

export type LinkEvent =
  | { readonly kind: "due" }
  | { readonly kind: "opened" }
  | { readonly kind: "closed"; readonly reason: string; readonly retryAfterMs?: number | undefined }
  | { readonly kind: "tick"; readonly silentMs: number }
  | { readonly kind: "stop" };

export type LinkEffect =
  | { readonly kind: "dial" }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "up" }
  | { readonly kind: "down"; readonly reason: string }
  | { readonly kind: "ping" }
  | { readonly kind: "drop"; readonly reason: string };

export interface LinkStep {
  readonly state: LinkState;
  readonly effects: readonly LinkEffect[];
}

export interface Chance {
  readonly nowMs: number;
  /** uniform in [0, 1) */
  readonly random: number;
}

/** Without any byte for so long the link is dead, whatever TCP believes. */
export const silenceMs = 12_000;
const firstMs = 500;
const capMs = 30_000;
const longestAskedMs = 300_000;
/** A link that held for less counts as a failed attempt: a cloud that hangs up at once is not hammered. */
const heldMs = 5000;

/** What to do next; the shell in `link.ts` does it. */
export function stepLink(state: LinkState, event: LinkEvent, chance: Chance): LinkStep {
  if (state.kind === "ended") return { state, effects: [] };
  switch (event.kind) {
    case "due":
      if (state.kind !== "waiting") return { state, effects: [] };
      return { state: { kind: "dialing", attempt: state.attempt }, effects: [{ kind: "dial" }] };
    case "opened":
      if (state.kind !== "dialing") return { state, effects: [] };
      return {
        state: { kind: "up", attempt: state.attempt, sinceMs: chance.nowMs },
        effects: [{ kind: "up" }],
      };
    case "closed":
      return closed(state, event, chance);
    case "tick":
      if (state.kind !== "up") return { state, effects: [] };
      return { state, effects: [tick(event.silentMs)] };
    case "stop":
      return {
        state: { kind: "ended" },
        effects: [
          { kind: "drop", reason: "edgecore stops" },
          ...(state.kind === "up" ? [{ kind: "down", reason: "edgecore stops" } as const] : []),
        ],
      };
  }
}

function closed(
  state: Exclude<LinkState, { kind: "ended" }>,
  event: Extract<LinkEvent, { kind: "closed" }>,
  chance: Chance,
): LinkStep {
  if (state.kind === "waiting") return { state, effects: [] };
  const held = state.kind === "up" && chance.nowMs - state.sinceMs >= heldMs;
  const attempt = held ? 0 : state.attempt;
  const jittered = chance.random * Math.min(capMs, firstMs * 2 ** Math.min(attempt, 16));
  const asked = Math.min(event.retryAfterMs ?? 0, longestAskedMs);
  return {
    state: { kind: "waiting", attempt: attempt + 1 },
    effects: [
      ...(state.kind === "up" ? [{ kind: "down", reason: event.reason } as const] : []),
      { kind: "wait", ms: Math.max(asked, Math.round(jittered)) },
    ],
  };
}

function tick(silentMs: number): LinkEffect {
  if (silentMs < silenceMs) return { kind: "ping" };
  return { kind: "drop", reason: `no byte from the cloud for ${Math.round(silentMs / 1000)} s` };
}
