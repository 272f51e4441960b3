import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import type { Clock } from "#shared/clock";
import { AppError, asError } from "#shared/errors";
import { completeReference } from "#shared/image-names";
import type { EngineCallOptions, ImageStore, RuntimeCode } from "#edge/runtime";
import type { CriCalls } from "#edge/runtime/cri/api";
import type { CriEngine } from "./engine.ts";

export interface CtrOptions {
  readonly calls: CriCalls;
  /** The engine that containerd is. */
  readonly engine: Pick<CriEngine, "settings" | "version">;
  /** "unix:///run/containerd/containerd.sock" */
  readonly address: string;
  readonly clock: Pick<Clock, "sleep">;
  /** Aborted when the runtime is disposed. */
  readonly signal: AbortSignal;
}

/** The CRI part of containerd learns by an event what was done beside it. */
const appearMs = 10_000;
const lookMs = 50;

/** The program and its first words; undefined where it is not on this machine. */
function findCtr(address: string): string[] | undefined {
  const k3s = address.includes("/k3s/") ? Bun.which("k3s") : null;
  if (k3s !== null) return [k3s, "ctr"];
  const ctr = Bun.which("ctr");
  return ctr === null ? undefined : [ctr];
}

/**
 * Names and archives of images in containerd's namespace for Kubernetes, by its own client: the CRI has no calls for them.
 */
export class CtrImages implements ImageStore {
  readonly #options: CtrOptions;
  readonly #command: readonly string[];

  private constructor(command: readonly string[], options: CtrOptions) {
    this.#command = command;
    this.#options = options;
  }

  /** Undefined where the client is not on this machine. */
  static open(options: CtrOptions): CtrImages | undefined {
    const command = findCtr(options.address);
    return command && new CtrImages(command, options);
  }

  async tag(ref: string, name: string): Promise<void> {
    const { calls } = this.#options;
    const what = `name image "${ref}" "${name}"`;
    const { image } = await calls.call(what, "ImageStatus", { image: { image: ref } });
    const [source = image?.repoDigests[0]] = image?.repoTags ?? [];
    if (!image || source === undefined)
      throw new AppError("image-not-found" satisfies RuntimeCode, `Cannot ${what}: there is no such image`);
    await this.#run(what, ["tag", "--force", source, completeReference(name)]);
    await this.#until(name, (id) => id === image.id);
  }

  async untag(name: string): Promise<void> {
    await this.#run(`remove the name of image "${name}"`, ["rm", completeReference(name)]);
    await this.#until(name, (id) => id === undefined);
  }

  /** Archives without a name of an image are refused: containerd keeps no image that has none. */
  async load(
    archive: AsyncIterable<Uint8Array>,
    options: EngineCallOptions = {},
  ): Promise<readonly string[]> {
    const words = await this.#importWords();
    const text = await this.#run("load images", words, { ...options, input: plain(archive) });
    const names = [...text.matchAll(/^unpacking (\S+) \(/gm)].map(([, name = ""]) => name);
    for (const name of names) await this.#until(name, (id) => id !== undefined);
    return names;
  }

  /** containerd 2 says which images they are when the client imports them, and not the daemon. */
  async #importWords(): Promise<string[]> {
    const { engine } = this.#options;
    const { snapshotter } = await engine.settings();
    const major = Number.parseInt(await engine.version(), 10);
    return [
      "import",
      ...(major >= 2 ? ["--local"] : []),
      ...(snapshotter === undefined ? [] : ["--snapshotter", snapshotter]),
      "-",
    ];
  }

  /** @returns what it has printed. @throws AppError "engine-refused" with what it says */
  async #run(
    what: string,
    words: readonly string[],
    { signal: given, input }: EngineCallOptions & { readonly input?: AsyncIterable<Uint8Array> } = {},
  ): Promise<string> {
    const { address, signal: closed } = this.#options;
    const signal = given ? AbortSignal.any([given, closed]) : closed;
    signal.throwIfAborted();
    const line = [
      ...this.#command,
      "--address",
      address.replace(/^unix:\/\//, ""),
      "--namespace",
      "k8s.io",
      "images",
      ...words,
    ];
    await using client = Bun.spawn(line, { stdin: "pipe", stdout: "pipe", stderr: "pipe", signal });
    const output = Promise.all([new Response(client.stdout).text(), new Response(client.stderr).text()]);
    const fed = feed(client.stdin, input);
    const code = await client.exited;
    const [text, errors] = await output;
    signal.throwIfAborted();
    // What the client says tells more than that it reads no more.
    const failure = await fed;
    if (code === 0 && !failure) return text;
    const reason = errors.trim().replace(/^ctr: /, "") || failure?.message || `exit code ${code}`;
    throw new AppError("engine-refused" satisfies RuntimeCode, `Cannot ${what}: ${reason}`, {
      cause: failure,
    });
  }

  async #until(name: string, isSo: (id: string | undefined) => boolean): Promise<void> {
    const { calls, clock, signal } = this.#options;
    const request = { image: { image: name } };
    for (let waitedMs = 0; waitedMs <= appearMs; waitedMs += lookMs) {
      const { image } = await calls.call(`look for image "${name}"`, "ImageStatus", request, { signal });
      if (isSo(image?.id)) return;
      await clock.sleep(lookMs, { signal });
    }
    throw new AppError(
      "engine-refused" satisfies RuntimeCode,
      `Cannot use image "${name}": the engine does not show what was done with it`,
    );
  }
}

/** The client of containerd 1.6 does not unpack what it reads from a pipe. */
async function* plain(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = archive[Symbol.asyncIterator]();
  const first = await chunks.next();
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    for (let next = first; !next.done; next = await chunks.next()) yield next.value;
  };
  const isPacked = !first.done && first.value[0] === 0x1f && first.value[1] === 0x8b;
  try {
    yield* isPacked ? unpack(whole()) : whole();
  } finally {
    await chunks.return?.();
  }
}

async function* unpack(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip();
  const source = Readable.from(bytes, { objectMode: false });
  source.on("error", (error) => gunzip.destroy(error));
  const chunks: AsyncIterable<Uint8Array> = source.pipe(gunzip);
  try {
    yield* chunks;
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}

/** @returns why it could not be written; never rejects */
async function feed(
  stdin: Bun.FileSink,
  input: AsyncIterable<Uint8Array> | undefined,
): Promise<Error | undefined> {
  try {
    for await (const chunk of input ?? []) {
      void stdin.write(chunk);
      // The next part is read when this one was taken: an archive may be larger than the memory.
      await stdin.flush();
    }
    await stdin.end();
    return undefined;
  } catch (error) {
    // A client that waits for the rest of an archive that cannot be read would wait forever.
    void Promise.resolve(stdin.end()).catch(() => undefined);
    return asError(error);
  }
}
