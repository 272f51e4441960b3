export {
  envReferences,
  notFoundText,
  readData,
  readField,
  readResource,
  resolveEnv,
  skippedNames,
  type NodeApiFacts,
  type Objects,
  type PodFacts,
} from "./env.ts";
export { expand, Expansion } from "./expand.ts";
