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
} from "./vocabulary.ts";
export { isObject } from "./vocabulary.ts";
export { apiVersionOf, builtinKinds, findKind, storedVerbs } from "./catalog.ts";
export { definitionName } from "./definitions.ts";
export { decodeInto, decodeMetadata, type Decoded } from "./decode.ts";
export { PatchError, strategicMergeInto } from "./strategic-merge.ts";
export {
  childOf,
  cloneJson,
  ensureChild,
  itemsOf,
  nestsDeeper,
  numberOf,
  ownField,
  sameMeaning,
  setDefault,
  setDefaultText,
  setField,
  textMapOf,
  textOf,
  textsOf,
} from "./access.ts";
export { fieldsOfDefinition, fieldsOfSchema } from "./fields-v1.ts";
export { openApiDocument } from "./openapi.ts";
export { descriptions, forgetTexts } from "./definitions.ts";
