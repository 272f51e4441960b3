import { AppError, UnavailableError } from "#shared/errors";
import type { DockerCalls } from "./calls.ts";
import { asReadable, readLines } from "./lines.ts";
import { readProgressError } from "./read.ts";
import { pauseArchive, pauseLayer, type PauseArchitecture } from "#edge/runtime/pause-image";

/** The image sandboxes run, made from bytes of this program when the engine does not have it: no registry is needed. */
export class PauseImage {
  readonly #calls: DockerCalls;
  readonly #name: string;
  #id: Promise<string> | undefined;

  constructor(calls: DockerCalls, name: string) {
    this.#calls = calls;
    this.#name = name;
  }

  /** @returns its id: a name can come to mean an image that a pod had pulled */
  async ensure(): Promise<string> {
    this.#id ??= this.#make();
    try {
      return await this.#id;
    } catch (error) {
      this.#id = undefined;
      throw error;
    }
  }

  /** It may have been removed from the engine. */
  forget(): void {
    this.#id = undefined;
  }

  async #make(): Promise<string> {
    const { docker } = this.#calls;
    const { Arch } = await this.#calls.call("ask the engine", {}, () => docker.version());
    const architecture = Arch === "arm64" ? "arm64" : "amd64";
    const present = await this.#find(architecture);
    if (present !== undefined) return present;
    await this.#import(architecture);
    const made = await this.#find(architecture);
    if (made === undefined)
      throw new UnavailableError("pause-image", `Cannot use the pause image: "${this.#name}" is another one`);
    return made;
  }

  async #find(architecture: PauseArchitecture): Promise<string | undefined> {
    const image = this.#calls.docker.getImage(this.#name);
    const found = await this.#calls.find(`look for image "${this.#name}"`, () => image.inspect());
    const layers: readonly string[] = found?.RootFS.Layers ?? [];
    const entry = [found?.Config.Entrypoint ?? []].flat();
    const isOurs = layers.join() === pauseLayer(architecture) && entry.join() === "/pause";
    return isOurs ? found?.Id : undefined;
  }

  async #import(architecture: PauseArchitecture): Promise<void> {
    const [repo, tag] = this.#name.split(":");
    await this.#calls.call("import the pause image", {}, async () => {
      // dockerode's types know only streams; its transport sends a Buffer as it is.
      const body = pauseArchive(architecture) as unknown as NodeJS.ReadableStream;
      const options = { repo, tag, changes: 'ENTRYPOINT ["/pause"]' };
      const stream = await this.#calls.docker.importImage(body, options);
      for await (const line of readLines(asReadable(stream))) {
        const error = readProgressError(line);
        if (error !== undefined) throw new AppError("engine-refused", error);
      }
    });
  }
}
