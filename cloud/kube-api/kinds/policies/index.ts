/** Validation of admission policies, whose expressions are compiled, and their status. */
export { validateBinding, validatePolicy } from "./validate-policy.ts";
export { markObserved } from "./observed.ts";
