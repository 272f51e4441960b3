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
export { jsonPatch } from "./json-patch.ts";
export { mergePatch } from "./patches.ts";
export { mergeAtomic, serverSideApply, trackUpdate, type ApplyOptions } from "./apply.ts";
export { patchObject, patchTypeOf, type PatchType } from "./patch-object.ts";
