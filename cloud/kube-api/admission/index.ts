/**
 * The admission plugins of the embedded API: what a write gets from other objects, and what they forbid. They read the store in
 * the turn of the event loop in which the object is written.
 */
export { growthFault } from "./claims.ts";
export { completeNew } from "./complete-new.ts";
export { brokenLimits } from "./limit-range.ts";
export { systemClasses } from "./priority-classes.ts";
export { QuotaLedger } from "#cloud/kube-api/admission/quota";
export { limitRangesOf, podSurroundings } from "./surroundings.ts";
export { admitConnection, Webhooks } from "#cloud/kube-api/admission/webhooks";
export type { AdmissionRequest } from "#cloud/kube-api/admission/requests";
export { Policies } from "#cloud/kube-api/admission/policies";
