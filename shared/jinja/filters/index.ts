export { filtersWith, functionNames } from "./filters.ts";
export { listOf } from "./list-filters.ts";
export { Patterns } from "./regex.ts";
export { mappingMethods, textMethods } from "./text-filters.ts";
