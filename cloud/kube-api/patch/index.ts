/** The four patches of the Kubernetes API: JSON patch, merge patch, strategic merge patch and server-side apply. */
export { serverSideApply, trackUpdate, withFoundManagers, type ApplyOptions } from "./apply.ts";
export { patchObject, patchTypeOf, type PatchType } from "./patch-object.ts";
export { strategicMerge } from "./strategic-merge.ts";
