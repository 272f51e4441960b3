import { isRecord } from "#shared/json";
import type { JsonBody } from "#shared/topics";
import { numberIn, payloadIn, textIn } from "#edge/device-twin/discovery/body";

/** `protocol.configData` of a device; see `DeviceMapping`. */
export type StateConfig = Readonly<Record<string, unknown>>;

/** Topics, templates and payloads of the state, and how they decide together. */
export function availabilityOf(body: JsonBody): StateConfig {
  const list = Array.isArray(body["availability"]) ? body["availability"].filter(isRecord) : undefined;
  if (!list) return single(body, "availability_topic", "availability_template");
  const [first, ...rest] = list;
  if (!first) return {};
  if (rest.length === 0) return single(first, "topic", "value_template");
  const mode = textIn(body, "availability_mode") ?? "latest";
  const availability = list.map((one) => {
    const template = textIn(one, "value_template");
    return {
      topic: textIn(one, "topic") ?? "",
      ...(template === undefined ? {} : { template }),
      onlinePayload: payloadIn(one, "payload_available", "online"),
      offlinePayload: payloadIn(one, "payload_not_available", "offline"),
    };
  });
  return { availability, availabilityMode: mode };
}

function single(source: JsonBody, topicField: string, templateField: string): StateConfig {
  const stateTopic = textIn(source, topicField);
  if (stateTopic === undefined) return {};
  const template = textIn(source, templateField);
  return {
    stateTopic,
    ...(template === undefined ? {} : { stateTemplate: template }),
    onlinePayload: payloadIn(source, "payload_available", "online"),
    offlinePayload: payloadIn(source, "payload_not_available", "offline"),
  };
}

/** Seconds after which Home Assistant takes a value for expired; 0 when never. */
export function expiryOf(body: JsonBody): number {
  const seconds = numberIn(body, "expire_after") ?? 0;
  // Longer ones than a node can wait for are as good as none.
  return seconds > 0 && seconds <= 20 * 86_400 ? Math.ceil(seconds) : 0;
}
