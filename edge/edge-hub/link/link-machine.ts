/** `attempt` counts dials since the link last held, `outSinceMs` is when it was lost. */
interface Outage {
  readonly attempt: number;
  readonly outSinceMs?: number | undefined;
}

/** The state of the link; `up` since a time, so that a link that is closed at once counts as a failure. */
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

export interface LinkMoment {
  readonly nowMs: number;
  /** uniform in [0, 1) */
  readonly random: number;
}

/** Without any byte for this long the link is dead, whatever TCP believes: two pings of 5 s unanswered, and some time. */
export const silenceMs = 12_000;
/** Pauses between attempts start here and double up to a cap. */
const firstMs = 500;
/** While an outage is young its end is noticed within seconds; later a cloud that returns must not be flooded. */
const youngMs = 600_000;
const youngCapMs = 3000;
const capMs = 30_000;
/** The longest Retry-After that is accepted of a cloud: one by mistake must not keep the node offline for days. */
const longestAskedMs = 300_000;
/** A link that held for less counts as a failed attempt: the node backs off from a cloud that closes at once. */
const heldMs = 5000;

/**
 * What to do next; `Link` does it. Waiting backs off exponentially with full jitter, at least as long as the cloud asks.
 *
 *     waiting --due--> dialing --opened--> up
 *        ^                |                 |
 *        +----closed------+-----closed------+      any --stop--> ended
 */
export function stepLink(state: LinkState, event: LinkEvent, moment: LinkMoment): LinkStep {
  if (state.kind === "ended") return { state, effects: [] };
  switch (event.kind) {
    case "due":
      if (state.kind !== "waiting") return { state, effects: [] };
      return { state: { ...state, kind: "dialing" }, effects: [{ kind: "dial" }] };
    case "opened":
      if (state.kind !== "dialing") return { state, effects: [] };
      return {
        state: { ...state, kind: "up", sinceMs: moment.nowMs },
        effects: [{ kind: "up" }],
      };
    case "closed":
      return closed(state, event, moment);
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
  moment: LinkMoment,
): LinkStep {
  if (state.kind === "waiting") return { state, effects: [] };
  const held = state.kind === "up" && moment.nowMs - state.sinceMs >= heldMs;
  const attempt = held ? 0 : state.attempt;
  const outSinceMs = (held ? undefined : state.outSinceMs) ?? moment.nowMs;
  const cap = moment.nowMs - outSinceMs < youngMs ? youngCapMs : capMs;
  const jittered = moment.random * Math.min(cap, firstMs * 2 ** Math.min(attempt, 16));
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
