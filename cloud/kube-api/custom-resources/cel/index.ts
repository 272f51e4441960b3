/** Expressions in CEL, of rules of custom resources and of admission policies: compiled once, bounded in time. */
export { compileExpression, undeclaredFields, type Expression, type Meter } from "./expression.ts";
export {
  accessValue,
  type AccessCheck,
  type AccessQuestion,
} from "#cloud/kube-api/custom-resources/cel/libraries";
export { celSize, outOfSteps } from "#cloud/kube-api/custom-resources/cel/size";
export { madeMessage } from "./made-message.ts";
export type { SchemaOf } from "./schema-check.ts";
export { celValue, dynamicValue, optionalValue } from "./values.ts";
