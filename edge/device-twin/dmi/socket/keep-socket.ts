import { chmodSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { Clock } from "#shared/clock";
import { AppError, describeError, errorCodeOf } from "#shared/errors";
import type { Logger } from "#shared/log";

export interface SocketParts {
  readonly path: string;
  /** Starts a server at a path; it need not remove the file. */
  readonly listen: (path: string) => Promise<AsyncDisposable>;
  readonly clock: Pick<Clock, "every">;
  readonly log: Logger;
}

/** For somebody who removed the socket, or another edgecore that had it, mappers are away about as long. */
const lookMs = 10_000;

/**
 * Serves a unix socket for root alone, and again when somebody has removed it. A socket that nobody serves any more is replaced;
 * one that is served belongs to another process, and is waited for. What is wrong is logged once: a node works without it.
 */
export async function keepSocket(parts: SocketParts): Promise<AsyncDisposable> {
  const kept = new KeptSocket(parts);
  await kept.look();
  const timer = parts.clock.every(lookMs, () => void kept.look());
  return {
    [Symbol.asyncDispose]: async () => {
      timer[Symbol.dispose]();
      await kept.close();
    },
  };
}

class KeptSocket {
  readonly #parts: SocketParts;
  #server: AsyncDisposable | undefined;
  /** Inode of our socket. */
  #inode: number | undefined;
  #problem = "";
  #isClosed = false;
  #looking: Promise<void> = Promise.resolve();

  constructor(parts: SocketParts) {
    this.#parts = parts;
  }

  /** Serves the socket unless it is served. Never rejects. */
  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#look());
    return this.#looking;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#looking;
    await this.#end();
  }

  async #look(): Promise<void> {
    const { path, log } = this.#parts;
    if (this.#isClosed || (this.#inode !== undefined && inodeOf(path) === this.#inode)) return;
    try {
      await this.#end();
      await this.#serve();
      this.#problem = "";
      log.info("mappers can register", { socket: path });
    } catch (error) {
      const problem = describeError(error);
      if (problem !== this.#problem) log.warn("mappers cannot register", { socket: path, error: problem });
      this.#problem = problem;
    }
  }

  /** The socket has its place once it is complete. */
  async #serve(): Promise<void> {
    const { path, listen } = this.#parts;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    await refuseForeign(path);
    const early = `${path}.${process.pid}`;
    rmSync(early, { force: true });
    this.#server = await listen(early);
    chmodSync(early, 0o600);
    renameSync(early, path);
    this.#inode = inodeOf(path);
  }

  async #end(): Promise<void> {
    const { path } = this.#parts;
    if (this.#inode !== undefined && inodeOf(path) === this.#inode) rmSync(path, { force: true });
    this.#inode = undefined;
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
  }
}

/** @throws AppError when there is something that must not be replaced */
async function refuseForeign(path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (!there) return;
  if (!there.isSocket()) throw new AppError("dmi-socket", `${path} is there and is not a socket`);
  if (await isServed(path)) throw new AppError("dmi-socket", `another process serves ${path}`);
}

async function isServed(path: string): Promise<boolean> {
  const done = Promise.withResolvers<boolean>();
  const socket = connect({ path });
  socket.once("connect", () => done.resolve(true));
  socket.once("error", (error) =>
    done.resolve(!["ECONNREFUSED", "ENOENT"].includes(errorCodeOf(error) ?? "")),
  );
  try {
    return await done.promise;
  } finally {
    socket.destroy();
  }
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}
