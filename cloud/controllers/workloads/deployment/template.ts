import { createHash } from "node:crypto";
import type { PodTemplate } from "#cloud/controllers/framework";

export const hashLabel = "pod-template-hash";

const texts = new WeakMap<PodTemplate, string>();

/** A text that is equal for templates that make equal pods, whatever their hash label says. */
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

/** Fields in order of their names, absent and null alike. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined && field !== null);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, field]) => [name, canonical(field)]));
}

/** Without vowels and look-alikes, as generated names have. */
const letters = "bcdfghjklmnpqrstvwxz2456789";

/** Names a template; `salt` gives another name to the same one. */
export function templateHash(template: PodTemplate, salt: number): string {
  const digest = createHash("sha256")
    .update(salt === 0 ? "" : String(salt))
    .update(templateText(template))
    .digest();
  return Array.from(digest.subarray(0, 10), (byte) => letters.charAt(byte % letters.length)).join("");
}
