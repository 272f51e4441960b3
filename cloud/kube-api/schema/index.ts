export type {
  ConversionWebhook,
  CustomKind,
  ErrorType,
  FieldError,
  KindInfo,
  PrinterColumn,
  SubresourceInfo,
  UpdateVia,
} from "./vocabulary.ts";
export { builtinKinds, findKind, storedVerbs } from "./catalog.ts";
export { definition, definitionName, type Definition, type FieldType } from "./definitions.ts";
export { decodeInto, decodeMetadata, type DecodedFields } from "./decode.ts";
export { fieldsV1Of, shapeProblems, spellStep, stepTo } from "./fields-v1.ts";
export { listMapKeys, shapeOf, type Shape } from "./shapes.ts";
export { parseKubeObject, parseObject, toJsonObject, toKubeObject, toPod } from "./stored-object.ts";
export { descriptions, forgetTexts } from "./definitions.ts";
