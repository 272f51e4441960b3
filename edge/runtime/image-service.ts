import type { EngineCallOptions } from "./streams.ts";

/** Images of the engine, as CRI's `ImageService` has them. Nothing here is bound to an owner: engines share images. */
export interface ImageService {
  /** CRI `ImageStatus`; undefined when the engine does not have it. */
  findImage(ref: string): Promise<Image | undefined>;
  /** CRI `ListImages`. */
  listImages(): Promise<readonly Image[]>;
  /**
   * CRI `PullImage`: resolves when the image is complete in the engine.
   * @throws AppError "image-pull" with the engine's reason
   */
  pullImage(ref: string, options: PullOptions): Promise<void>;
  /**
   * CRI `RemoveImage`, with all names; one that does not exist is no error.
   * @throws AppError "image-in-use" while a container, of anyone, is made from it
   */
  removeImage(id: string): Promise<void>;
  /** CRI `ImageFsInfo`: the file system images are on; undefined when it is not one of this machine. */
  imageFs(): Promise<FileSystemUsage | undefined>;
  /** Ids of the images that containers are made from, in any state and of any owner. */
  usedImages(): Promise<ReadonlySet<string>>;
  /** What CRI does not have; undefined for an engine that is spoken to through it. */
  readonly imageStore?: ImageStore | undefined;
}

/** Names and archives of images. */
export interface ImageStore {
  /** Gives an image another name, and takes that from the image that had it. */
  tag(ref: string, name: string): Promise<void>;
  /** Removes a name; the image goes when it was the last one. A name that does not exist is no error. */
  untag(name: string): Promise<void>;
  /**
   * Loads an archive as `docker save` writes it, in any form and compression the engine reads.
   * @returns names of the images, or ids of those without a name
   * @throws AppError "engine-refused" with the engine's reason
   */
  load(archive: AsyncIterable<Uint8Array>, options?: EngineCallOptions): Promise<readonly string[]>;
}

export interface FileSystemUsage {
  readonly capacityBytes: number;
  /** What can be written yet. */
  readonly availableBytes: number;
  /** 0 where the file system does not count them; absent where the engine does not say. */
  readonly inodes?: number;
  readonly freeInodes?: number;
}

export interface PullOptions extends EngineCallOptions {
  /** Absent: anonymous. */
  readonly auth?: RegistryAuth | undefined;
  /** A pull without progress for so long has failed; that of the engine when absent, or when it reports no progress. */
  readonly idleMs?: number;
  /** Called as it goes on; engines that are spoken to through CRI never call it. */
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

export interface PullProgress {
  readonly doneBytes: number;
  /** Of the layers whose size is known by now. */
  readonly totalBytes: number;
}

/** CRI `AuthConfig`. */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly serveraddress?: string;
  readonly identitytoken?: string;
}

export interface Image {
  /** "sha256:…" */
  readonly id: string;
  readonly names: readonly string[];
  readonly sizeBytes: number;
  /** Never removed to free space, as CRI's `pinned`: what sandboxes run. */
  readonly pinned?: boolean;
  /** `USER` of the image ("", "app", "1000:1000"); only `findImage` reads it. */
  readonly user?: string;
}

/** An image reference with its tag or digest; "latest" when it has neither. */
export function withTag(ref: string): string {
  if (ref.includes("@")) return ref;
  const last = ref.slice(ref.lastIndexOf("/") + 1);
  return last.includes(":") ? ref : `${ref}:latest`;
}
