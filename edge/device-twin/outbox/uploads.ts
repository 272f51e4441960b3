import { topicMatches } from "#shared/mqtt";
import type { MqttMessage } from "#shared/topics";

/** Topics whose messages the cloud gets unchanged, as in KubeEdge's eventbus. */
const uploadFilters = [
  "SYS/dis/upload_records",
  "$hw/events/upload/#",
  "$ke/events/+/upload",
  "$ke/events/+/+/upload",
  "$ke/events/+/+/+/upload",
];

/** Whether a message goes to the cloud unchanged; `upload` is set on topics that the cloud subscribed to. */
export function isUpload({ topic, upload }: MqttMessage): boolean {
  return upload === true || uploadFilters.some((filter) => topicMatches(filter, topic)) || isUserTopic(topic);
}

/** `<anything>/user/…` is for rules in the cloud. */
function isUserTopic(topic: string): boolean {
  return /^[^$/][^/]*\/user\//.test(topic);
}
