/** What Rules and RuleEndpoints mean, for cloudcore's router and for the nodes. Pure. */
export { choosesNode, concernsNode, mayChoose, mayMeet, type NamedNode } from "./node-choice.ts";
export {
  compareTemplates,
  fillText,
  matchTemplate,
  shapeOf,
  type Parameters,
  type TemplateMatch,
  type TemplatePart,
} from "./path-template.ts";
export { readRule } from "./read-rule.ts";
export type {
  Delivery,
  NodeChoice,
  ReadRule,
  RuleMeaning,
  RuleProblem,
  RuleSource,
  RuleTarget,
} from "./rule-meaning.ts";
