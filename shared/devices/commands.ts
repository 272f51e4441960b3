import type { DeviceMapping, SetMapping } from "./mapping.ts";

/** What a plain device is told so that one of its properties takes the value that is wanted. */
export interface Command {
  readonly property: string;
  readonly value: string;
  readonly topic: string;
  readonly payload: string;
  readonly retain: boolean;
}

/** All that a plain device is told, for the values wanted of its properties; nothing is wanted where that is empty. */
export function commandsOf(
  mapping: DeviceMapping | undefined,
  wanted: (property: string) => string | undefined,
): Command[] {
  return (mapping?.properties ?? []).flatMap(({ name, set }) => {
    const value = wanted(name) ?? "";
    if (!set || value === "") return [];
    const { topic, retain } = set;
    return [{ property: name, value, topic, payload: payloadOf(set, name, value), retain }];
  });
}

/**
 * What has to be published so that a device that was told `before` is told `after`. What brokers keep of a command that
 * stands no more is taken back, or it would command whoever comes to that topic next.
 */
export function commandChanges(
  before: readonly Command[],
  after: readonly Command[],
): Pick<Command, "topic" | "payload" | "retain">[] {
  const told = new Set(before.map((command) => JSON.stringify(command)));
  const kept = new Set(after.filter(({ retain }) => retain).map(({ topic }) => topic));
  const gone = before.filter(({ topic, retain }) => retain && !kept.has(topic)).map(({ topic }) => topic);
  const left = new Set(after.map(({ property }) => property));
  const bared = new Set(before.filter(({ property }) => !left.has(property)).map(({ topic }) => topic));
  return [
    ...[...new Set(gone)].map((topic) => ({ topic, payload: "", retain: true })),
    // Two properties may share a topic: what is kept there may be the command of the other one.
    ...after.filter((command) => !told.has(JSON.stringify(command)) || bared.has(command.topic)),
  ];
}

function payloadOf(set: SetMapping, name: string, value: string): string {
  if (value === "true" && set.on !== undefined) return set.on;
  if (value === "false" && set.off !== undefined) return set.off;
  return set.payload.replaceAll(/\{\{\s*(value|name)\s*\}\}/g, (_, word: string) =>
    word === "value" ? value : name,
  );
}
