/**
 * The decisions of a list-and-watch, without I/O. The loop does what `step` says and reports how it ended:
 *
 *     list ──ok──▶ watch(v) ──closed, cut, quiet──▶ watch(last v)
 *      ▲             │
 *      └──── gone (410), malformed, refused ──┘
 */
export type Step =
  | { readonly do: "list"; readonly wait: boolean }
  | { readonly do: "watch"; readonly from: string; readonly wait: boolean };

export type Ended =
  | { readonly kind: "listed"; readonly version: string }
  /** The list failed, whatever way. */
  | { readonly kind: "list-failed" }
  /** The watch ended without a complaint, or the link under it broke; `version` is the last one seen. */
  | { readonly kind: "watch-ended"; readonly version: string; readonly useful: boolean }
  /** The server cannot tell from there, or told something we cannot read. */
  | { readonly kind: "watch-lost"; readonly useful: boolean };

export const firstStep: Step = { do: "list", wait: false };

/** After how many fruitless watches in a row the copy is checked by a list. */
export const fruitlessLimit = 5;

export interface Progress {
  readonly step: Step;
  /** Watches in a row that brought nothing. */
  readonly fruitless: number;
}

export function nextStep(progress: Progress, ended: Ended): Progress {
  switch (ended.kind) {
    case "listed":
      return { step: { do: "watch", from: ended.version, wait: false }, fruitless: progress.fruitless };
    case "list-failed":
      return { step: { do: "list", wait: true }, fruitless: progress.fruitless };
    case "watch-lost":
      return {
        step: { do: "list", wait: !ended.useful && progress.fruitless > 0 },
        fruitless: ended.useful ? 0 : progress.fruitless + 1,
      };
    case "watch-ended": {
      const fruitless = ended.useful ? 0 : progress.fruitless + 1;
      const wait = !ended.useful;
      if (fruitless >= fruitlessLimit) return { step: { do: "list", wait }, fruitless: 0 };
      return { step: { do: "watch", from: ended.version, wait }, fruitless };
    }
  }
}
