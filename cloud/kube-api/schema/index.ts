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
export { fieldsOfDefinition, fieldsOfSchema, listKeyDefaults } from "./fields-v1.ts";
export { parseKubeObject, parseObject, toJsonObject, toKubeObject, toPod } from "./stored-object.ts";
export { descriptions, forgetTexts } from "./definitions.ts";
