import { closeSync, constants, fchmodSync, fchownSync, fstatSync, lstatSync, mkdirSync } from "node:fs";
import { openSync, readFileSync, readdirSync, readlinkSync, writeFileSync, type Stats } from "node:fs";
import { AppError, errorCodeOf } from "#shared/errors";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_TRUNC, O_WRONLY } = constants;
/** O_PATH, which Node does not name: a handle of a file that does not open it, so that a pipe or a device is not touched. */
const namesOnly = 0x20_0000;

/** Owner and group; what is undefined stays as it is. */
export interface FileOwner {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/**
 * A directory held open. Everything is done below the handle, one name at a time, and no link is ever followed: what a
 * container renames or links meanwhile cannot lead elsewhere. `/proc/self/fd/N/name` is `openat(N, "name")`, which
 * Bun does not have.
 */
export class Directory implements Disposable {
  readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** A directory nobody but the operator can move; links on the way to it are the operator's. */
  static open(path: string): Directory {
    return new Directory(openSync(path, O_RDONLY | O_DIRECTORY));
  }

  /** Names the very directory that is held, wherever it was moved to. */
  get path(): string {
    return `/proc/self/fd/${this.fd}`;
  }

  /** The path of one entry, for calls that do not follow links. */
  at(name: string): string {
    if (name === "" || name === "." || name === ".." || /[/\0]/.test(name))
      throw new AppError("file-name", `Invalid file name ${JSON.stringify(name)}`);
    return `${this.path}/${name}`;
  }

  names(): string[] {
    return readdirSync(this.path);
  }

  find(name: string): Stats | undefined {
    return lstatSync(this.at(name), { throwIfNoEntry: false });
  }

  stat(): Stats {
    return fstatSync(this.fd);
  }

  readLink(name: string): string | undefined {
    return this.find(name)?.isSymbolicLink() === true ? readlinkSync(this.at(name)) : undefined;
  }

  enter(name: string): Directory {
    return new Directory(openSync(this.at(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }

  make(name: string, mode: number): void {
    mkdirSync(this.at(name), { mode });
  }

  /** Enters a directory that is made when it is not there. */
  ensure(name: string, mode: number): Directory {
    if (!this.find(name)) this.make(name, mode);
    return this.enter(name);
  }

  /** A handle that only names an entry: it may be anything but a link. The caller closes it. */
  hold(name: string): number {
    const fd = openSync(this.at(name), namesOnly | O_NOFOLLOW);
    if (!fstatSync(fd).isSymbolicLink()) return fd;
    closeSync(fd);
    throw new AppError("ELOOP", `${JSON.stringify(name)} is a link`);
  }

  /** Makes a new file. @throws when something of the name is there */
  write(name: string, data: Uint8Array, attributes: FileOwner & { readonly mode: number }): void {
    const fd = openSync(this.at(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      writeFileSync(fd, data);
      setAttributes(fd, attributes);
    } finally {
      closeSync(fd);
    }
  }

  /** Puts these contents into a plain file, new or not: who has it mounted sees them. */
  overwrite(name: string, data: Uint8Array, attributes: FileOwner & { readonly mode: number }): void {
    const fd = openSync(this.at(name), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      writeFileSync(fd, data);
      setAttributes(fd, attributes);
    } finally {
      closeSync(fd);
    }
  }

  /** The bytes of a plain file of at most `limit` bytes; undefined when it is anything else. */
  read(name: string, limit: number): Buffer | undefined {
    if (this.find(name)?.isFile() !== true) return undefined;
    // A pipe in the place of the file must not make us wait for a writer.
    const fd = openSync(this.at(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const found = fstatSync(fd);
      return found.isFile() && found.size <= limit ? readFileSync(fd) : undefined;
    } finally {
      closeSync(fd);
    }
  }

  /** Owner first: a change of owner clears mode bits. */
  set(attributes: FileOwner & { readonly mode: number }): void {
    setAttributes(this.fd, attributes);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

function setAttributes(fd: number, { uid, gid, mode }: FileOwner & { readonly mode: number }): void {
  const now = fstatSync(fd);
  if (uid !== undefined || gid !== undefined) fchownSync(fd, uid ?? now.uid, gid ?? now.gid);
  // The umask cleared bits.
  fchmodSync(fd, mode);
}

/** Whether a call failed with one of the codes of errno, e.g. "ENOENT". */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return codes.includes(errorCodeOf(error) ?? "");
}
