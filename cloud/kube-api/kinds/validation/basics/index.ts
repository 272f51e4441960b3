/** What the rules of all kinds use: causes with their texts, names, selectors and metadata. */
export {
  duplicate,
  eachOf,
  forbidden,
  invalid,
  notFound,
  notSupported,
  optionalOneOf,
  placeOf,
  required,
  requiredOneOf,
  tooLong,
  tooMany,
} from "./errors.ts";
export { validateLabels, validateMaps, validateMetadata, validateMetadataUpdate } from "./meta.ts";
export {
  configKey,
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  envName,
  isPort,
  labelValue,
  pathSegment,
  portName,
  portText,
  qualifiedName,
  type NameRule,
} from "./names.ts";
export { broughtErrors } from "./ratchet.ts";
export { labelSelectorOf, validateSelector, validateWorkloadSelector } from "./selector.ts";
