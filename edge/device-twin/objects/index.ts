export { DeviceModels } from "./device-models.ts";
export { DeviceObjects } from "./device-objects.ts";
export { LocalChanges } from "./local-changes.ts";
export { LocalValueSync } from "./local-value-sync.ts";
export { LocalValues } from "./local-values.ts";
export { PropertyMapper } from "./property-mapper.ts";
export { withOwnStatus } from "./shown-device.ts";
export { restoreObjects } from "./stored-objects.ts";
