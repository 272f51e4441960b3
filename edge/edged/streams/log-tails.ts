import type { ContainerRuntime } from "#edge/runtime";

/** kubelet: MaxContainerTerminationMessageLogLines and MaxContainerTerminationMessageLogLength. */
const mostLines = 80;
const mostBytes = 2048;

/** The ends of the logs of some containers that have ended: each is read once, and kept as long as it is asked for. */
export class LogTails {
  readonly #runtime: Pick<ContainerRuntime, "logs">;
  #texts = new Map<string, string>();

  constructor(runtime: Pick<ContainerRuntime, "logs">) {
    this.#runtime = runtime;
  }

  /** Reads those that are new, and forgets all others. */
  async keep(ids: readonly string[]): Promise<void> {
    const kept = new Map<string, string>();
    for (const id of ids) kept.set(id, this.#texts.get(id) ?? (await this.#read(id)));
    this.#texts = kept;
  }

  find(id: string): string | undefined {
    return this.#texts.get(id);
  }

  async #read(id: string): Promise<string> {
    let tail = Buffer.alloc(0);
    for await (const { bytes } of this.#runtime.logs(id, { tailLines: mostLines })) {
      const whole = Buffer.concat([tail, bytes]);
      tail = Buffer.from(whole.subarray(Math.max(0, whole.length - mostBytes)));
    }
    return tail.toString();
  }
}
