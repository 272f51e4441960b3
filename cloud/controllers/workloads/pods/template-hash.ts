import { createHash } from "node:crypto";
import type { PodTemplate } from "#cloud/controllers/framework";

export const hashLabel = "pod-template-hash";

const texts = new WeakMap<PodTemplate, string>();

/** A text that is equal for templates of equal pods; the hash label is ignored. */
export function templateText(template: PodTemplate): string {
  const known = texts.get(template);
  if (known !== undefined) return known;
  const text = JSON.stringify(canonical(withoutHash(template)));
  texts.set(template, text);
  return text;
}

function withoutHash(template: PodTemplate): PodTemplate {
  const { labels, annotations } = template.metadata ?? {};
  const { [hashLabel]: _hash, ...rest } = labels ?? {};
  const metadata = {
    ...(Object.keys(rest).length > 0 && { labels: rest }),
    ...(annotations && Object.keys(annotations).length > 0 && { annotations }),
  };
  return { metadata, spec: template.spec };
}

/** The same value with its fields in the order of their names, as Go encodes a map. */
export function sortFields<T>(value: T): T {
  // The fields are those of the value.
  return canonical(value, true) as T;
}

/** Fields in order of their names; undefined and, unless it is kept, null count as absent. */
function canonical(value: unknown, keepsNull = false): unknown {
  if (Array.isArray(value)) return value.map((item) => canonical(item, keepsNull));
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(
    ([, field]) => field !== undefined && (keepsNull || field !== null),
  );
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, field]) => [name, canonical(field, keepsNull)]));
}

/** The alphabet of apimachinery's rand.SafeEncodeString: no vowels, no 0, 1 or 3, so no words arise. */
const letters = "bcdfghjklmnpqrstvwxz2456789";

/**
 * The hash in the name of a template's ReplicaSet. `salt` gives another name to the same template, as collisionCount does
 * upstream; the digest differs, as nothing compares these names with those of another cluster.
 */
export function templateHash(template: PodTemplate, salt: number): string {
  const digest = createHash("sha256")
    .update(salt === 0 ? "" : String(salt))
    .update(templateText(template))
    .digest();
  return Array.from(digest.subarray(0, 10), (byte) => letters.charAt(byte % letters.length)).join("");
}
