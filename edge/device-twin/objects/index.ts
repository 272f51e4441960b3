export { DeviceModels } from "./device-models.ts";
export { DeviceObjects } from "./device-objects.ts";
export { PropertyMapper } from "./property-mapper.ts";
export { restoreObjects } from "./stored-objects.ts";
