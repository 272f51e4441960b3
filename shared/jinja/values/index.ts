export { Budget } from "./budget.ts";
export {
  given,
  Output,
  Scope,
  type Callable,
  type Compute,
  type Given,
  type Rendering,
  type Run,
} from "./context.ts";
export { calculate, excerpt, need, roundEven, toFloat, toInt } from "./numbers.ts";
export { binaries, comparisons, order } from "./operators.ts";
export {
  Dict,
  entriesOf,
  isEqual,
  isList,
  isTrue,
  jsonText,
  member,
  Namespace,
  NoValue,
  numberOf,
  parseDocument,
  RenderError,
  textOf,
  type Value,
} from "./values.ts";
