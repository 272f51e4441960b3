/** How large values of expressions are, and may be. */
export { celSize, checkSize, outOfSteps } from "./size.ts";
