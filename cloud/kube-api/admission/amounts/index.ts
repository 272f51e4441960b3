/** Arithmetic with quantities of resources: exact, by name. */
export { amountsOf, count, exceeds, minus, plus, sumOf, toObject, toText, type Amounts } from "./amounts.ts";
export { podAmounts } from "./pod-amounts.ts";
