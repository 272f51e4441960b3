/** JSON values of unknown shape: what they are, and their fields. */
export {
  childOf,
  cloneJson,
  ensureChild,
  itemsOf,
  metadataOf,
  nestsDeeper,
  numberOf,
  ownField,
  sameJson,
  sameMeaning,
  setDefault,
  setDefaultText,
  setField,
  textMapOf,
  textOf,
  textsOf,
} from "./access.ts";
export {
  asRecord,
  asText,
  isObject,
  isRecord,
  recordOf,
  tryJson,
  type Json,
  type JsonObject,
} from "./json.ts";
