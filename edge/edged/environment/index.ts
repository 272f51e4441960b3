export {
  envReferences,
  expand,
  notFound,
  readData,
  readField,
  readResource,
  resolveEnv,
  type Objects,
  type PodFacts,
} from "./env.ts";
