import { createHash } from "node:crypto";
import { asRecord } from "#shared/json";
import type { Device } from "#shared/kube";
import type { Found } from "./announcement.ts";

/** A digest of what was announced last, by property: what did not change since then belongs to the user. */
export const announcedAnnotation = "devices.kubeedge.io/announced";

/** Key of the digest of the device itself, besides those of its properties. */
const ofDevice = "";

/** What differs from the digests of the last announcement. */
export function changedSince(found: Found, announced: ReadonlyMap<string, string>): Partial<Found> {
  const changed = new Set(
    [...digestsOf(found)].flatMap(([name, now]) => (announced.get(name) === now ? [] : [name])),
  );
  return {
    properties: found.properties.filter(({ name }) => changed.has(name)),
    described: found.described.filter(({ name }) => changed.has(name)),
    protocol: changed.has(ofDevice) ? found.protocol : {},
  };
}

export function digestsOf(found: Found): Map<string, string> {
  const described = new Map(found.described.map((one) => [one.name, one]));
  const digests = found.properties.map(
    (property) => [property.name, digest([property, described.get(property.name)])] as const,
  );
  const hasOwn = Object.keys(found.protocol).length > 0;
  return new Map([...digests, ...(hasOwn ? [[ofDevice, digest(found.protocol)] as const] : [])]);
}

export function readDigests(device: Device | undefined): ReadonlyMap<string, string> {
  try {
    const stored: unknown = JSON.parse(device?.metadata.annotations?.[announcedAnnotation] ?? "{}");
    const entries = Object.entries(asRecord(stored) ?? {});
    return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  } catch (error) {
    if (error instanceof SyntaxError) return new Map();
    throw error;
  }
}

function digest(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 12);
}
