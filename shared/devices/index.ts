export { modelPropertyProblems, readMapping } from "./mapping.ts";
export type { MappingProblem } from "./config-reader.ts";
export type { DeviceMapping, PropertyMapping } from "./mapping.ts";
export { commandChanges, commandsOf, type DeviceCommand } from "./commands.ts";
export { readReport, type DeviceReport, type RejectedValue } from "./report.ts";
export { sanitizeDevice } from "./sanitize.ts";
export { quoteText, translateTemplate, type TemplateTranslation } from "./template.ts";
export { fitsType, isTwinType, longestTwinValue, twinTypeOf } from "./twin-type.ts";
