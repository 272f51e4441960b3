import type { DeviceMapping, SetMapping } from "./mapping.ts";

/** The MQTT message that sets one property of a plain device to its desired value. */
export interface DeviceCommand {
  readonly property: string;
  readonly value: string;
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
}

/**
 * The commands for all desired values of a plain device. An empty desired value gives no command.
 * @param desired the desired value of a property, by name
 */
export function commandsOf(
  mapping: DeviceMapping | undefined,
  desired: (property: string) => string | undefined,
): DeviceCommand[] {
  return (mapping?.properties ?? []).flatMap(({ name, set }) => {
    const value = desired(name) ?? "";
    if (!set || value === "") return [];
    const { topic, retain } = set;
    return [{ property: name, value, topic, payload: payloadOf(set, name, value), retain }];
  });
}

/**
 * What has to be published to go from the commands `before` to the commands `after`: new and changed commands, and for
 * a command that no longer applies an empty retained message (MQTT 3.1.1, section 3.3.1.3). Without it the broker would
 * send the stale command to the next subscriber of that topic.
 */
export function commandChanges(
  before: readonly DeviceCommand[],
  after: readonly DeviceCommand[],
): Pick<DeviceCommand, "topic" | "payload" | "retain">[] {
  const sent = new Set(before.map((command) => JSON.stringify(command)));
  const kept = new Set(after.filter(({ retain }) => retain).map(({ topic }) => topic));
  const cleared = before.filter(({ topic, retain }) => retain && !kept.has(topic)).map(({ topic }) => topic);
  const remaining = new Set(after.map(({ property }) => property));
  const dropped = new Set(
    before.filter(({ property }) => !remaining.has(property)).map(({ topic }) => topic),
  );
  return [
    ...[...new Set(cleared)].map((topic) => ({ topic, payload: "", retain: true })),
    // Two properties may share a topic: the command of the other one may have overwritten this retained message.
    ...after.filter((command) => !sent.has(JSON.stringify(command)) || dropped.has(command.topic)),
  ];
}

function payloadOf(set: SetMapping, name: string, value: string): string {
  if (value === "true" && set.on !== undefined) return set.on;
  if (value === "false" && set.off !== undefined) return set.off;
  return set.payload.replaceAll(/\{\{\s*(value|name)\s*\}\}/g, (_, word: string) =>
    word === "value" ? value : name,
  );
}
