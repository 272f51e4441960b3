/** What the commands share: access to cloudcore's Kubernetes API, their arguments, and tables. */
export { withKube } from "./api-access.ts";
export {
  readChoice,
  readNodeName,
  readOutput,
  readText,
  readWhole,
  refuseMore,
  requireOperand,
} from "./arguments.ts";
export { formatTable, untilWords } from "./tables.ts";
