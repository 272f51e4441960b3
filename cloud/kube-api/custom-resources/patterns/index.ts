export { readPattern, type Pattern, type ReadPattern } from "./patterns.ts";
