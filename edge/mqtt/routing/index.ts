export { FanOut, type Traffic } from "./fan-out.ts";
export { Publishing, type PublishingParts } from "./publishing.ts";
export { RetainedSender } from "./retained-sender.ts";
export { Subscribing, type SubscribingParts } from "./subscribing.ts";
