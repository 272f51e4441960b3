/**
 * The rules of each kind, as pure functions: no I/O, no clock, no state but lazily parsed data. A function owns the object it
 * gets and may change it; use what it returns. Refusals are returned as a `Status` ready to be sent.
 *
 * A write is decoded (decodeBody, of a body or a patched object), then admitted (admitCreate or admitUpdate), then stored.
 */
export type {
  CustomKind,
  ErrorType,
  FieldError,
  KindInfo,
  PrinterColumn,
  SubresourceInfo,
  UpdateVia,
} from "#cloud/kube-api/schema";
export { builtinKinds, findKind } from "#cloud/kube-api/schema";
export { compareApiVersions, establishCrd, kindsOfCrd } from "#cloud/kube-api/custom-resources";
export { decodeApplied, decodeBody, type FieldValidation } from "./decode-object.ts";
export { qosClassOf, type PodSurroundings } from "#cloud/kube-api/kinds/defaults";
export {
  admitCreate,
  admitUpdate,
  prepareChanged,
  prepareNew,
  validateChanged,
  validateNew,
  type WriteContext,
} from "./admit.ts";
export type { ObjectUpdate } from "./strategy.ts";
export { admitShown, scaleOf, toStored, withScale } from "#cloud/kube-api/kinds/conversions";
export { shownObject, shownText, storedForm } from "./stored-form.ts";
export { tableCells, tableColumns, type TableColumn } from "#cloud/kube-api/kinds/tables";
export { isSigningRequest } from "#cloud/kube-api/kinds/certificates";
