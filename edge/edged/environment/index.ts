export {
  envReferences,
  expand,
  notFoundText,
  readData,
  readField,
  readResource,
  resolveEnv,
  type Objects,
  type PodFacts,
} from "./env.ts";
