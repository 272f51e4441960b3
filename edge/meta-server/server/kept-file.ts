import { writeWhole } from "#shared/files";

/** Called with a file that cannot be written, and why. */
export type OnUnwritten = (path: string, error: unknown) => void;

/** Writes a file that is made again when it is missing: a full disk must not keep the node from starting. */
export function writeKept(path: string, content: string, onUnwritten: OnUnwritten): void {
  try {
    writeWhole(path, content);
  } catch (error) {
    onUnwritten(path, error);
  }
}
