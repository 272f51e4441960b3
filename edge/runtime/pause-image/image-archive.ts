import { pauseArchive, type PauseArchitecture } from "./program.ts";

export interface ImageContent {
  /** With its tag. */
  readonly name: string;
  readonly architecture: PauseArchitecture;
  /** The root file system, as a tar that is not compressed. */
  readonly layer: Uint8Array;
  /** `config` of the image's specification: `Entrypoint`, `Env`, `User` and so on. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** An image of one layer in an archive as `docker save` writes it (image specification 1.2 of Docker): all engines load it. */
export async function imageArchive({ name, architecture, layer, config }: ImageContent): Promise<Uint8Array> {
  const specification = JSON.stringify({
    architecture,
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: [`sha256:${hashOf(layer)}`] },
    history: [{ created: "1970-01-01T00:00:00Z", created_by: "edgecore" }],
  });
  const configFile = `${hashOf(specification)}.json`;
  const layerFile = `${hashOf(layer)}/layer.tar`;
  const manifest = JSON.stringify([{ Config: configFile, RepoTags: [name], Layers: [layerFile] }]);
  const archive = new Bun.Archive({
    [configFile]: specification,
    [layerFile]: layer,
    "manifest.json": manifest,
  });
  return archive.bytes();
}

/** The pause image under a name, for an engine that wants it there and has no registry. */
export function pauseImageArchive(name: string, architecture: PauseArchitecture): Promise<Uint8Array> {
  const config = { Entrypoint: ["/pause"] };
  return imageArchive({ name, architecture, layer: pauseArchive(architecture), config });
}

function hashOf(content: string | Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(content).digest("hex");
}
