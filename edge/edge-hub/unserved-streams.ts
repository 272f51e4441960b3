import type { Logger } from "#shared/log";

/** Takes binary frames, which carry byte streams (logs, exec, tunnels), as long as nothing on the node serves streams. */
export class UnservedStreams {
  readonly #log: Logger;
  #frames = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Frames received since the start. */
  get frames(): number {
    return this.#frames;
  }

  take(frame: Uint8Array): void {
    this.#frames += 1;
    if (this.#frames === 1)
      this.#log.warn("cloud sent a binary frame, and this node serves no streams", { bytes: frame.length });
  }
}
