/** The `Status` objects with which the API refuses: reasons, codes and texts of kube-apiserver (apimachinery `api/errors`). */
export * as refusals from "./refusal.ts";
export { qualified, Refusal, type ResourceName } from "./refusal.ts";
export {
  accept,
  failureStatus,
  forbiddenStatus,
  invalidStatus,
  refuse,
  undecodable,
  type KindName,
  type ApiOutcome,
} from "./outcome.ts";
