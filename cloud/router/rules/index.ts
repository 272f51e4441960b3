/** Which rules are in effect, which of them a request or a message meets, and what becomes of it. Pure. */
export { textOfProblem, type CompiledRule } from "./compile.ts";
export { CompatibleRules } from "./conflicts.ts";
export { servicePath, topicOf, urlOf, type PathEnd } from "./outgoing.ts";
export { nodesOfRule, readRequestPath, type RequestPath } from "./request-path.ts";
export { RuleBook, type RestMatch } from "./rule-book.ts";
export { RuleReader } from "./rule-reader.ts";
export { chosenNodes, targetNodes, type TargetNodes } from "./target-nodes.ts";
