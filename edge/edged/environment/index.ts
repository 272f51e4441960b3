export {
  envReferences,
  expand,
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
