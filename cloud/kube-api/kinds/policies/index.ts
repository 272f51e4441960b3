/** Validation of admission policies, whose expressions are compiled. */
export { validateBinding, validatePolicy } from "./validate-policy.ts";
