export { AnnouncementEvents } from "./announcement-events.ts";
export { DeviceWarnings } from "./device-warnings.ts";
export { DeviceEventRecorder } from "./event-recorder.ts";
export { LossEvents } from "./loss-events.ts";
