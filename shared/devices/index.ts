export { modelPropertyProblems, readMapping } from "./mapping.ts";
export type { MappingProblem } from "./config-reader.ts";
export type { DeviceMapping, PropertyMapping } from "./mapping.ts";
export { commandChanges, commandsOf, type Command } from "./commands.ts";
export { readReport, type Misfit, type Report } from "./report.ts";
export { sanitizeDevice } from "./sanitize.ts";
export { quoteText, translateTemplate, type Translation } from "./template.ts";
export { fitsType, isTwinType, twinTypeOf } from "./twin-type.ts";
