/**
 * The decisions of a list and watch, without I/O. The loop performs a step and reports its result:
 *
 *     list ──ok──▶ watch(v) ──closed, cut, overdue──▶ watch(last v)
 *      ▲             │
 *      └──── gone (410), malformed, refused ──┘
 */
export type ListWatchStep =
  | { readonly do: "list"; readonly wait: boolean }
  | { readonly do: "watch"; readonly version: string; readonly wait: boolean };

export type StepResult =
  | { readonly kind: "listed"; readonly version: string }
  | { readonly kind: "list-failed" }
  /** The watch ended regularly, or its connection broke; `version` is the last one seen. */
  | { readonly kind: "watch-ended"; readonly version: string; readonly useful: boolean }
  /** The server cannot watch from this version any more, or sent something that cannot be read. */
  | { readonly kind: "watch-expired"; readonly useful: boolean };

export const firstStep: ListWatchStep = { do: "list", wait: false };

/**
 * After this many watches in a row without an event the copy is checked by a list: with back-off up to 5 s that is soon,
 * and a server that ends every watch at once is not asked for complete lists all the time.
 */
export const fruitlessLimit = 5;

export interface ListWatchState {
  readonly step: ListWatchStep;
  /** Watches in a row that brought no event. */
  readonly fruitless: number;
}

/** What to do after `result`; `wait` in a step means after the next back-off. */
export function nextStep(state: ListWatchState, result: StepResult): ListWatchState {
  switch (result.kind) {
    case "listed":
      return { step: { do: "watch", version: result.version, wait: false }, fruitless: state.fruitless };
    case "list-failed":
      return { step: { do: "list", wait: true }, fruitless: state.fruitless };
    case "watch-expired":
      return {
        step: { do: "list", wait: !result.useful && state.fruitless > 0 },
        fruitless: result.useful ? 0 : state.fruitless + 1,
      };
    case "watch-ended": {
      const fruitless = result.useful ? 0 : state.fruitless + 1;
      const wait = !result.useful;
      if (fruitless >= fruitlessLimit) return { step: { do: "list", wait }, fruitless: 0 };
      return { step: { do: "watch", version: result.version, wait }, fruitless };
    }
  }
}
