/** Which rules are in effect, and which of them a request or a message meets. Pure. */
export { compileRules, textOfProblem, type CompiledRule } from "./compile.ts";
export { CompatibleRules } from "./conflicts.ts";
