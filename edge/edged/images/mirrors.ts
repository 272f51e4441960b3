import { parseReference } from "#shared/image-names";

/** Where an image is looked for: the reference that is given to the engine. */
export interface PullSource {
  readonly ref: string;
  readonly isMirror: boolean;
}

/** URLs of mirrors by the registry they stand for ("docker.io"). */
export type RegistryMirrors = Readonly<Record<string, readonly string[]>>;

/** The mirrors of an image's registry in their order, and the registry itself at the end. */
export function sourcesOf(ref: string, mirrors: RegistryMirrors): PullSource[] {
  const { registry, path, suffix } = parseReference(ref);
  const places = mirrors[registry] ?? [];
  const mirrored = places.map((url) => ({ ref: `${placeOf(url)}/${path}${suffix}`, isMirror: true }));
  return [...mirrored, { ref, isMirror: false }];
}

/** `https://mirror.local:5000/hub/` is "mirror.local:5000/hub" in a reference: the engine decides about TLS. */
function placeOf(url: string): string {
  return url.replace(/^https?:\/\//, "").replace(/\/+$/, "");
}
