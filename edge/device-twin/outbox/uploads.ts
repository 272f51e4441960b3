import { topicMatches, uploadFilters } from "#shared/mqtt";
import type { MqttMessage } from "#shared/topics";

/** Whether a message goes to the cloud unchanged; `upload` is set on topics that the cloud subscribed to. */
export function isUpload({ topic, upload }: MqttMessage): boolean {
  return upload === true || uploadFilters.some((filter) => topicMatches(filter, topic)) || isUserTopic(topic);
}

/** `<anything>/user/…` is for rules in the cloud. */
function isUserTopic(topic: string): boolean {
  return /^[^$/][^/]*\/user\//.test(topic);
}
