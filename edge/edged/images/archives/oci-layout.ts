import { asText, recordOf, tryJson } from "#shared/json";
import { scanTar, tarEnd } from "./tar.ts";

/** Blobs that are larger are layers: manifests and configurations are a few kilobytes. */
const largestJson = 1 << 20;
/** Of all of them together. */
const mostBytes = 64 << 20;

/** Whether an archive may be an OCI layout: its first entry tells. */
export function mayBeLayout(firstBlock: Uint8Array): boolean {
  const name = Buffer.from(firstBlock.subarray(0, 100)).toString("latin1");
  return /^(\.\/)?(blobs\/|index\.json\0|oci-layout\0)/.test(name);
}

/** A later entry replaces an earlier one: containerd then reads manifest.json, and completes the names in it as Docker does. */
const noLayout = Buffer.from(JSON.stringify({ imageLayoutVersion: "" }));

/** What makes an OCI layout an archive of `docker load`: what is appended at which place. */
export interface DockerEnd {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/**
 * Docker before 25 does not read an OCI layout (image-layout.md of the OCI image specification), but its own manifest.json may
 * name the same blobs. Undefined for an archive that has one, is no layout, or has no image for this architecture.
 *
 * @param architecture Go's name, e.g. "amd64"
 */
export async function dockerEndOf(
  archive: AsyncIterable<Uint8Array>,
  architecture: string,
): Promise<DockerEnd | undefined> {
  let kept = 0;
  const scan = await scanTar(archive, (name, bytes) => {
    const isJson = name === "index.json" || (name.startsWith("blobs/") && bytes <= largestJson);
    if (isJson) kept += bytes;
    return isJson && kept <= mostBytes;
  });
  if (!scan || scan.entries.some(({ name }) => name === "manifest.json")) return undefined;
  const files = new Map(scan.entries.map(({ name, content }) => [name, content]));
  const readJson = (name: string): Readonly<Record<string, unknown>> => {
    const content = files.get(name);
    return recordOf(content && tryJson(Buffer.from(content).toString()));
  };
  const images = manifestsOf(readJson("index.json")).flatMap((entry) =>
    imagesOf(entry, { readJson, architecture, name: nameOf(entry) }),
  );
  if (images.length === 0) return undefined;
  const added = { "oci-layout": noLayout, "manifest.json": Buffer.from(JSON.stringify(images)) };
  return { at: scan.endsAt, bytes: tarEnd(added) };
}

interface Layout {
  readonly readJson: (name: string) => Readonly<Record<string, unknown>>;
  readonly architecture: string;
  /** The name of the image, where it has one. */
  readonly name: string | undefined;
}

interface DockerImage {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

/** The image of a descriptor: itself, or the one of this architecture in an index of several. */
function imagesOf(descriptor: Readonly<Record<string, unknown>>, layout: Layout, depth = 0): DockerImage[] {
  const path = blobOf(descriptor);
  const platform = recordOf(descriptor["platform"]);
  const { readJson, architecture, name } = layout;
  if (path === undefined || depth > 2) return [];
  if (depth > 0 && (platform["os"] !== "linux" || platform["architecture"] !== architecture)) return [];
  const manifest = readJson(path);
  const inner = manifestsOf(manifest);
  if (inner.length > 0) return inner.flatMap((one) => imagesOf(one, layout, depth + 1)).slice(0, 1);
  const config = blobOf(recordOf(manifest["config"]));
  const layers = listOf(manifest["layers"]).map(blobOf);
  if (config === undefined || layers.some((layer) => layer === undefined)) return [];
  const Layers = layers.filter((layer) => layer !== undefined);
  return [{ Config: config, RepoTags: name === undefined ? [] : [name], Layers }];
}

function manifestsOf(index: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>[] {
  return listOf(index["manifests"]);
}

function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(recordOf) : [];
}

function blobOf(descriptor: Readonly<Record<string, unknown>>): string | undefined {
  const [, algorithm, hex] = /^(sha256|sha512):([0-9a-f]{64,128})$/.exec(asText(descriptor["digest"])) ?? [];
  return hex === undefined ? undefined : `blobs/${algorithm}/${hex}`;
}

/** containerd's annotation has the whole name; that of the specification has it with some tools, and a tag alone with others. */
function nameOf(descriptor: Readonly<Record<string, unknown>>): string | undefined {
  const annotations = recordOf(descriptor["annotations"]);
  const whole = asText(annotations["io.containerd.image.name"]);
  const given = asText(annotations["org.opencontainers.image.ref.name"]);
  if (whole !== "") return whole;
  return given.includes(":") || given.includes("/") ? given : undefined;
}
