export { AnnouncementEvents } from "./announcement-events.ts";
export { DeviceWarnings } from "./device-warnings.ts";
export { LossEvents } from "./loss-events.ts";
