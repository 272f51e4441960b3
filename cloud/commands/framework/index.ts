/** What commands share that operators run beside cloudcore: a way to its Kubernetes API, and how answers are printed. */
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
