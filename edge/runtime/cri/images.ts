import { statfs } from "node:fs/promises";
import { AppError, asError, UnavailableError } from "#shared/errors";
import {
  withTag,
  type FileSystemUsage,
  type Image,
  type ImageService,
  type PullOptions,
  type RegistryAuth,
  type RuntimeCode,
} from "#edge/runtime";
import { toFileSystemAmounts } from "#shared/files";
import {
  readReason,
  type ContainerItem,
  type CriCalls,
  type CriImage,
  type ImageAuth,
} from "#edge/runtime/cri/api";
import type { CriEngine } from "./engine.ts";
import { readImage } from "./read.ts";

export interface CriImagesOptions {
  readonly engine: CriEngine;
  /** Aborted when the runtime is disposed. */
  readonly signal: AbortSignal;
}

/** The engine deletes the files of all layers before it answers. */
const removeMs = 300_000;

/**
 * No progress is visible over the CRI: engines end a pull that makes none (containerd's image_pull_progress_timeout). This ends what an
 * engine does not, so that other pulls have their turn.
 */
const pullMs = 30 * 60_000;

/** Images of the engine. */
export class CriImages implements ImageService {
  readonly #calls: CriCalls;
  readonly #options: CriImagesOptions;

  constructor(calls: CriCalls, options: CriImagesOptions) {
    this.#calls = calls;
    this.#options = options;
  }

  async findImage(ref: string): Promise<Image | undefined> {
    const request = { image: { image: ref }, verbose: true };
    const { image, info } = await this.#calls.call(`look for image "${ref}"`, "ImageStatus", request);
    return image ? readImage(image, info) : undefined;
  }

  async listImages(): Promise<readonly Image[]> {
    const { images } = await this.#calls.call("list images", "ListImages", {});
    const sandbox = await this.#options.engine.sandboxImage();
    const isPinned = ({ id, pinned }: Image): boolean => pinned === true || id === sandbox.id;
    return images.map((image) => readImage(image)).map((one) => ({ ...one, pinned: isPinned(one) }));
  }

  async pullImage(ref: string, options: PullOptions): Promise<void> {
    const { auth, idleMs = 0 } = options;
    const { signal: closed } = this.#options;
    const signal = options.signal ? AbortSignal.any([options.signal, closed]) : closed;
    // Engines take an image without a tag for one of their own choice.
    const request = { image: { image: withTag(ref) }, ...(auth && { auth: authOf(auth) }) };
    const timeoutMs = Math.max(pullMs, idleMs);
    try {
      await this.#calls.call(`pull image "${ref}"`, "PullImage", request, { signal, timeoutMs });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UnavailableError && error.code !== "timeout") throw error;
      throw new AppError("image-pull", readReason(asError(error).cause ?? error), { cause: error });
    }
  }

  /** Engines remove also what is in use. */
  async removeImage(id: string): Promise<void> {
    if ((await this.usedImages()).has(id))
      throw new AppError("image-in-use" satisfies RuntimeCode, `Cannot remove image "${id}": it is in use`);
    // CRI-O takes an id that it does not have for a name, and refuses that.
    const { images } = await this.#calls.call("list images", "ListImages", {});
    if (!images.some((one) => isNamed(one, id))) return;
    await this.#calls.find(
      `remove image "${id}"`,
      "RemoveImage",
      { image: { image: id } },
      { timeoutMs: removeMs },
    );
  }

  async usedImages(): Promise<ReadonlySet<string>> {
    const { containers } = await this.#calls.call("list containers", "ListContainers", {});
    const { items } = await this.#calls.call("list sandboxes", "ListPodSandbox", {});
    const { images } = await this.#calls.call("list images", "ListImages", {});
    const sandbox = items.length > 0 ? await this.#options.engine.sandboxImage() : undefined;
    return new Set([...containers.flatMap((one) => imagesOf(one, images)), ...(sandbox ? [sandbox.id] : [])]);
  }

  async imageFs(): Promise<FileSystemUsage | undefined> {
    const { imageFilesystems } = await this.#calls.call("ask for the disk of images", "ImageFsInfo", {});
    const path = imageFilesystems[0]?.fsId?.mountpoint;
    if (path === undefined || path === "") return undefined;
    try {
      return toFileSystemAmounts(await statfs(path));
    } catch {
      // The engine runs on another root file system than edgecore.
      return undefined;
    }
  }
}

/**
 * Ids of the images that a container may be made from. Engines name its image by id, which CRI-O writes without "sha256:", or by a
 * digest; where neither is of an image that there is, the name it was made with counts.
 */
function imagesOf({ image, imageId, imageRef }: ContainerItem, images: readonly CriImage[]): string[] {
  for (const name of [imageId, imageRef, image?.image ?? ""]) {
    const found = images.filter((one) => isNamed(one, name));
    if (name !== "" && found.length > 0) return found.map(({ id }) => id);
  }
  return [imageId || imageRef];
}

function isNamed({ id, repoTags, repoDigests }: CriImage, name: string): boolean {
  return [id, ...repoTags].includes(name) || [id, ...repoDigests].map(digestOf).includes(digestOf(name));
}

/** Its 64 digits; the whole name where it has none. */
function digestOf(name: string): string {
  return /(?:^|@)(?:sha256:)?([0-9a-f]{64})$/.exec(name)?.[1] ?? name;
}

function authOf({ username, password, serveraddress, identitytoken }: RegistryAuth): ImageAuth {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(serveraddress !== undefined && { serverAddress: serveraddress }),
    ...(identitytoken !== undefined && { identityToken: identitytoken }),
  };
}
