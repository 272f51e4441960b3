import type Docker from "dockerode";
import type { Readable } from "node:stream";
import type { Clock } from "#shared/clock";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { labelNames, type RuntimeHint } from "#edge/runtime";
import { toRuntimeError } from "./error.ts";
import { readEvent } from "./read.ts";
import { readLines } from "./lines.ts";

interface WatchOptions {
  readonly docker: Docker;
  readonly owner: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hear: (hint: RuntimeHint) => void;
  readonly signal: AbortSignal;
}

/** exec probes would flood us with exec_* events: only what changes a container's state is asked for. */
const actions = ["start", "die", "oom", "destroy", "pause", "unpause"];

/** Follows the engine's events, reconnecting until disposed. */
export function watchEvents(options: WatchOptions): Disposable {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  follow(options, signal).catch((error: unknown) => {
    if (!signal.aborted) options.log.error("engine events ended", { error });
  });
  return { [Symbol.dispose]: () => stop.abort() };
}

async function follow(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, hear } = options;
  const newWaits = (): Iterator<number> =>
    backoff({ firstMs: 200, capMs: 2000, random: () => clock.random() });
  let waits = newWaits();
  let away = false;
  while (!signal.aborted) {
    try {
      const stream = await openStream(options, signal);
      if (away) log.info("container engine is back");
      away = false;
      waits = newWaits();
      hear({ kind: "connected" });
      await tell(stream, hear);
    } catch (thrown) {
      if (signal.aborted) return;
      if (!away) log.warn("container engine is away", { error: toRuntimeError("follow events", thrown) });
    }
    if (signal.aborted) return;
    if (!away) hear({ kind: "away" });
    away = true;
    const wait = waits.next().value ?? 2000;
    await clock.sleep(wait, { signal }).catch(() => undefined);
  }
}

async function tell(stream: Readable, hear: WatchOptions["hear"]): Promise<void> {
  for await (const line of readLines(stream)) {
    const hint = readEvent(line);
    if (hint) hear(hint);
  }
}

async function openStream(options: WatchOptions, signal: AbortSignal): Promise<Readable> {
  const label = [`${labelNames.owner}=${options.owner}`];
  const filters = JSON.stringify({ type: ["container"], event: actions, label });
  const request = Object.assign({ filters }, { abortSignal: signal });
  const stream = (await options.docker.getEvents(request)) as Readable;
  signal.addEventListener("abort", () => stream.destroy(), { once: true });
  return stream;
}
