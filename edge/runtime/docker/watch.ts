import type Docker from "dockerode";
import type { Readable } from "node:stream";
import type { Clock } from "#shared/clock";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { labelNames, type RuntimeHint } from "#edge/runtime";
import { toRuntimeError } from "./error.ts";
import { readEvent } from "./read.ts";
import { asReadable, readLines } from "./lines.ts";

interface WatchOptions {
  readonly docker: Docker;
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onHint: (hint: RuntimeHint) => void;
  readonly signal: AbortSignal;
}

/** Only what changes the state of a container: exec probes alone cause three `exec_*` events each. */
const actions = ["start", "die", "oom", "destroy", "pause", "unpause"];

/** Follows the engine's events, reconnecting until disposed. */
export function watchEngine(options: WatchOptions): Disposable {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  follow(options, signal).catch((error: unknown) => {
    if (!signal.aborted) options.log.error("watch of engine events failed", { error });
  });
  return { [Symbol.dispose]: () => stop.abort() };
}

async function follow(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, onHint } = options;
  const newWaits = (): Iterator<number> =>
    backoff({ firstMs: 200, capMs: 2000, random: () => clock.random() });
  let waits = newWaits();
  let isLost = false;
  while (!signal.aborted) {
    try {
      const stream = await openStream(options, signal);
      if (isLost) log.info("container engine connected again");
      isLost = false;
      waits = newWaits();
      onHint({ kind: "connected" });
      await deliver(stream, onHint);
    } catch (thrown) {
      if (signal.aborted) return;
      if (!isLost)
        log.warn("container engine cannot be reached", { error: toRuntimeError("follow events", thrown) });
    }
    if (signal.aborted) return;
    if (!isLost) onHint({ kind: "disconnected" });
    isLost = true;
    const wait = waits.next().value ?? 2000;
    await clock.sleep(wait, { signal }).catch(() => undefined);
  }
}

async function deliver(stream: Readable, onHint: WatchOptions["onHint"]): Promise<void> {
  for await (const line of readLines(stream)) {
    const hint = readEvent(line);
    if (hint) onHint(hint);
  }
}

async function openStream(options: WatchOptions, signal: AbortSignal): Promise<Readable> {
  const label = [`${labelNames.owner}=${options.owner}`];
  const filters = JSON.stringify({ type: ["container"], event: actions, label });
  const request = Object.assign({ filters }, { abortSignal: signal });
  const stream = asReadable(await options.docker.getEvents(request));
  signal.addEventListener("abort", () => stream.destroy(), { once: true });
  return stream;
}
