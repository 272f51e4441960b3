import type { RejectedValue } from "#shared/devices/payloads";
import type { Rendered } from "#shared/jinja";
import type { DeviceMapping } from "./mapping.ts";

import type { SetMapping } from "./set-mapping.ts";

/** The MQTT message that sets one property of a plain device to its desired value. */
export interface DeviceCommand {
  readonly property: string;
  readonly value: string;
  readonly topic: string;
  readonly payload: string;
  /** `payload` is base64, and its bytes are published. */
  readonly isBytes?: true;
  readonly retain: boolean;
}

/**
 * The commands for all desired values of a plain device. An empty desired value gives no command, and neither does one
 * that its template cannot make a payload of.
 * @param desired the desired value of a property, by name
 */
export function commandsOf(
  mapping: DeviceMapping | undefined,
  desired: (property: string) => string | undefined,
): DeviceCommand[] {
  return (mapping?.properties ?? []).flatMap(({ name, set }) => {
    const value = desired(name) ?? "";
    const made = set && value !== "" ? payloadOf(set, name, value) : undefined;
    if (!set || made?.kind !== "text") return [];
    const { topic, retain, isBytes } = set;
    const payload = made.text;
    return [
      { property: name, value, topic, payload, ...(isBytes ? { isBytes: true as const } : {}), retain },
    ];
  });
}

/** Desired values for which there is no command, and why. */
export function commandProblems(
  mapping: DeviceMapping | undefined,
  desired: (property: string) => string | undefined,
): RejectedValue[] {
  return (mapping?.properties ?? []).flatMap(({ name, set }) => {
    const value = desired(name) ?? "";
    const made = set && value !== "" ? payloadOf(set, name, value) : undefined;
    if (!made || made.kind === "text") return [];
    const why = made.kind === "none" ? "makes no payload of it" : made.problem;
    return [
      { name, problem: `desired value ${JSON.stringify(value.slice(0, 100))} not sent: the command ${why}` },
    ];
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
): Pick<DeviceCommand, "topic" | "payload" | "isBytes" | "retain">[] {
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

function payloadOf(set: SetMapping, name: string, value: string): Rendered {
  if (set.payloads && !set.payloads.has(value))
    return { kind: "problem", problem: `knows ${[...set.payloads.keys()].join(", ")} only` };
  const switched =
    set.payloads?.get(value) ?? (value === "true" ? set.on : value === "false" ? set.off : undefined);
  if (set.template) {
    const rendered = set.template.render({ name, value: switched ?? typed(value, set.type) });
    // A template that makes nothing of a value does not know it.
    return rendered.kind === "text" && rendered.text === "" ? { kind: "none" } : rendered;
  }
  if (switched !== undefined) return { kind: "text", text: switched };
  const text = set.payload.replaceAll(/\{\{\s*(value|name)\s*\}\}/g, (_, word: string) =>
    word === "value" ? value : name,
  );
  return { kind: "text", text };
}

/** As Home Assistant gives it to a template: numbers as numbers, whole ones as integers. */
function typed(value: string, type: string): string | number | bigint | boolean {
  if (type === "boolean") return value === "true";
  if (type !== "int" && type !== "float") return value;
  const number = Number(value);
  if (/^[+-]?\d+$/.test(value)) return BigInt(value.replace("+", ""));
  return Number.isSafeInteger(number) ? BigInt(number) : number;
}
