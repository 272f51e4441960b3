export { compareApiVersions, establishCrd, kindsOfCrd } from "./crd-kind.ts";
export { validateCrd } from "./crd-validation.ts";
export { defaultObject, hasDefaults, pruneObject } from "./structural.ts";
export { validateValue } from "./validate-value.ts";
export { validateRules } from "./rules.ts";
export { validateLists } from "./list-types.ts";
