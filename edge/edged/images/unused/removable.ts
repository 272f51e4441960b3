import type { FileSystemUsage, Image } from "#edge/runtime";
import type { ImageAge } from "./image-ages.ts";

export interface GcPolicy {
  /** Images are removed when the disk is this full, in percent; 100: never for want of room. */
  readonly highPercent: number;
  /** Until it is this full. */
  readonly lowPercent: number;
  /** A younger image is not removed. */
  readonly minimumAgeMs: number;
  /** An image that was unused for longer is removed whatever room there is; undefined: no image is. */
  readonly maximumAgeMs: number | undefined;
}

export interface Candidates {
  readonly images: readonly Image[];
  readonly used: ReadonlySet<string>;
  readonly age: (id: string) => ImageAge;
  /** Whether an image is kept for another reason. */
  readonly isHeld: (id: string) => boolean;
}

/** Images that may be removed, those unused for longest first; kubelet: imagesInEvictionOrder. */
export function removableImages(
  { images, used, age, isHeld }: Candidates,
  { minimumAgeMs }: Pick<GcPolicy, "minimumAgeMs">,
): Image[] {
  return images
    .filter(({ id, pinned }) => pinned !== true && !used.has(id) && !isHeld(id))
    .filter(({ id }) => age(id).ageMs >= minimumAgeMs)
    .toSorted((a, b) => age(b.id).unusedMs - age(a.id).unusedMs || age(b.id).ageMs - age(a.id).ageMs);
}

/** How full a disk is, as kubelet counts it: what is left is rounded down. */
export function usedPercent({ capacityBytes, availableBytes }: FileSystemUsage): number {
  return 100 - Math.floor((availableBytes * 100) / capacityBytes);
}

/** How much must become free; 0 when there is room enough. */
export function bytesToFree(usage: FileSystemUsage, { highPercent, lowPercent }: GcPolicy): number {
  if (highPercent >= 100 || usage.capacityBytes <= 0 || usedPercent(usage) < highPercent) return 0;
  return Math.max(0, Math.ceil((usage.capacityBytes * (100 - lowPercent)) / 100) - usage.availableBytes);
}

/** Whether an engine's reason is that its disk is full. */
export function isDiskFull(reason: string): boolean {
  return /no space left on device/i.test(reason);
}
