/** Expressions in CEL, of rules of custom resources and of admission policies: compiled once, bounded in time. */
export { compileExpression, type Expression, type Meter } from "./expression.ts";
export { celValue, dynamicValue } from "./values.ts";
