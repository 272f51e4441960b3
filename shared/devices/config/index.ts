/** Reads `configData` of Devices and their models. */
export {
  ConfigProblems,
  describeProperties,
  findField,
  modelLayer,
  protocolLayer,
  type ConfigLayer,
  type DescribedProperty,
  type FoundField,
  type MappingProblem,
} from "./layers.ts";
export { ConfigReader } from "./config-reader.ts";
export { filterProblem, oneOf, pathProblem, payloadProblem, topicProblem } from "./config-rules.ts";
