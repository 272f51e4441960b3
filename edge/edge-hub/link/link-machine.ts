/** `attempt` counts dials since the link last held, `outSinceMs` is when it was first missed. */
interface Outage {
  readonly attempt: number;
  readonly outSinceMs?: number | undefined;
}

/** Where the link stands. */
export type LinkState =
  | (Outage & { readonly kind: "waiting" })
  | (Outage & { readonly kind: "dialing" })
  | (Outage & { readonly kind: "up"; readonly sinceMs: number })
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
/** While an outage is young its end is noticed within seconds; later a cloud that comes back is not to be run over. */
const youngMs = 600_000;
const youngCapMs = 3000;
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
      return { state: { ...state, kind: "dialing" }, effects: [{ kind: "dial" }] };
    case "opened":
      if (state.kind !== "dialing") return { state, effects: [] };
      return {
        state: { ...state, kind: "up", sinceMs: chance.nowMs },
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
  const outSinceMs = (held ? undefined : state.outSinceMs) ?? chance.nowMs;
  const cap = chance.nowMs - outSinceMs < youngMs ? youngCapMs : capMs;
  const jittered = chance.random * Math.min(cap, firstMs * 2 ** Math.min(attempt, 16));
  const asked = Math.min(event.retryAfterMs ?? 0, longestAskedMs);
  return {
    state: { kind: "waiting", attempt: attempt + 1, outSinceMs },
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
