import { closeSync, fstatSync, statSync } from "node:fs";
import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import { Directory, isErrno } from "./directory.ts";
import { releasePoint } from "#edge/edged/volumes/mounts";
import { makePoint } from "./point.ts";

/** A path that means one directory or file until it is disposed, whatever is renamed or linked meanwhile. */
export interface Pin extends AsyncDisposable {
  readonly path: string;
}

export interface SubPathOptions {
  /** Path of the volume. */
  readonly root: string;
  readonly subPath: string;
  /** Directory that no container is given: the pin is made in it. */
  readonly pinsDir: string;
  readonly clock: Clock;
}

/** As Linux (MAXSYMLINKS): links that lead in a circle come to an end. */
const mostLinks = 40;
/** A container that swaps directories all the time must not keep edgecore busy. */
const mostTries = 5;
/** Errors of a walk when a container swaps directories on its way. */
const swapped = ["ENOENT", "ENOTDIR", "ELOOP", "EEXIST"];

/**
 * Resolves `subPath` below a volume and mounts what was found at a place of our own, by its handle: the container engine
 * gets a path no container can change. What is missing is made as a directory with the mode of the volume. Links
 * count as long as they stay in the volume.
 */
export async function pinSubPath({ root, subPath, pinsDir, clock }: SubPathOptions): Promise<Pin> {
  using found = resolve(root, subPath);
  const path = makePoint(pinsDir, fstatSync(found.fd).isDirectory() ? "directory" : "file");
  try {
    await bind(found.fd, path);
  } catch (error) {
    await releasePoint(path, clock);
    throw error;
  }
  return { path, [Symbol.asyncDispose]: () => releasePoint(path, clock) };
}

/** The parts of a subPath. @throws when it is not one that can only lead down */
export function subPathParts(subPath: string): string[] {
  const parts = subPath.split("/").filter((part) => part !== "" && part !== ".");
  if (subPath.startsWith("/")) throw refusal(`${quoted(subPath)} must not be an absolute path`);
  if (parts.includes("..")) throw refusal(`${quoted(subPath)} must not contain '..'`);
  if (subPath.includes("\0")) throw refusal(`${quoted(subPath)} must not contain NUL`);
  return parts;
}

interface Held extends Disposable {
  readonly fd: number;
}

function resolve(root: string, subPath: string): Held {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return walk(root, subPath);
    } catch (error) {
      if (attempt === mostTries || !isErrno(error, ...swapped)) throw error;
    }
  }
}

/** One name after another, each below the handle of the one before, links by hand: as openat2 with RESOLVE_BENEATH. */
function walk(root: string, subPath: string): Held {
  using stack = new DisposableStack();
  const base = stack.use(Directory.open(root));
  const path = [base];
  const rest = subPathParts(subPath);
  let links = 0;
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    if (part === "..") {
      if (path.length === 1) throw refusal("it leaves the volume");
      path.pop();
      continue;
    }
    const top = path.at(-1) ?? base;
    const target = top.readLink(part);
    if (target !== undefined) {
      links += 1;
      if (target.startsWith("/") || links > mostLinks) throw refusal("it leaves the volume");
      rest.unshift(...target.split("/").filter((one) => one !== "" && one !== "."));
      continue;
    }
    if (rest.length === 0 && top.find(part)?.isDirectory() === false) return holdFile(top, part);
    path.push(stack.use(enterOrMake(top, part, base.stat().mode & 0o7777)));
  }
  // The handles of the walk are closed; this one is the caller's.
  return Directory.open((path.at(-1) ?? base).path);
}

function holdFile(dir: Directory, name: string): Held {
  const fd = dir.hold(name);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

function enterOrMake(parent: Directory, name: string, mode: number): Directory {
  if (parent.find(name)) return parent.enter(name);
  parent.make(name, 0o700);
  const made = parent.enter(name);
  made.set({ mode });
  return made;
}

/** `mount` may resolve the path of the handle by itself and be led astray: what it mounted is compared. */
async function bind(fd: number, path: string): Promise<void> {
  const source = `/proc/${process.pid}/fd/${fd}`;
  const wanted = fstatSync(fd);
  let output = "";
  // busybox knows no --no-canonicalize, and needs none.
  for (const options of [
    ["--no-canonicalize", "-o", "bind"],
    ["-o", "bind"],
  ]) {
    const child = Bun.spawn(["mount", ...options, source, path], { stdout: "ignore", stderr: "pipe" });
    output = (await new Response(child.stderr).text()).trim();
    if ((await child.exited) !== 0) continue;
    const found = statSync(path);
    if (found.ino === wanted.ino && found.dev === wanted.dev) return;
    throw refusal("something else was mounted");
  }
  throw refusal(`cannot mount it (edgecore has to run as root): ${output}`);
}

function quoted(subPath: string): string {
  return `SubPath \`${subPath}\``;
}

function refusal(why: string): AppError {
  return new AppError("sub-path", why);
}
