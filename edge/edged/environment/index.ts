export {
  envReferences,
  expand,
  notFoundText,
  readData,
  readField,
  readResource,
  resolveEnv,
  type NodeApiFacts,
  type Objects,
  type PodFacts,
} from "./env.ts";
