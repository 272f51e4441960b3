/** What the Kubernetes API does with requests and objects, as pure functions. */
export { selectAmong } from "./selecting.ts";
export {
  everything,
  fragmentsOf,
  matchesFields,
  parseFieldSelector,
  requireLabelSelector,
  selects,
  type Selection,
} from "./selectors.ts";
export { mergePatch } from "./patches.ts";
