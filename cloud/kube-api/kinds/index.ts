/**
 * What a Kubernetes API knows of its kinds, as pure functions: no I/O, no clock, no state but lazily parsed data.
 * An object handed in is owned by the function it is handed to and may be changed; use what it returns.
 * Refusals come back as a `Status` ready to be sent.
 *
 * The way of a write: decodeObject (body or patched result), then admitCreate or admitUpdate, then store.
 */
export type {
  CustomKind,
  ErrorType,
  FieldError,
  Json,
  JsonObject,
  KindInfo,
  PrinterColumn,
  SubresourceInfo,
  UpdateVia,
} from "#cloud/kube-api/schema";
export { apiVersionOf, builtinKinds, cloneJson, findKind, isObject } from "#cloud/kube-api/schema";
export { compareApiVersions, establishCrd, kindsOfCrd } from "#cloud/kube-api/custom-resources";
export { decodeObject, type FieldValidation } from "./decode-object.ts";
export { admitCreate, admitUpdate, type WriteContext } from "./admit.ts";
export type { Change } from "./strategy.ts";
export { scaleOf, withScale } from "./scale.ts";
export { fieldsV1Of, openApiV3 } from "./publish.ts";
export { tableCells, tableColumns, type TableColumn } from "#cloud/kube-api/kinds/tables";
