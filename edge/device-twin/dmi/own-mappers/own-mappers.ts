import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";

export interface OwnMapperParts {
  /** What runs a mapper, before its directory: `edgecore run-mapper`. */
  readonly command: readonly string[];
  readonly socket: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const firstRetryMs = 1000;
const lastRetryMs = 60_000;
/** One that ran as long is begun again after a short pause. */
const steadyMs = 60_000;
/** For its devices to be stopped. */
const endMs = 8000;

/** Runs mappers as processes of their own, again when they end, and ends them with edgecore. @param folders of their projects */
export function startOwnMappers(folders: readonly string[], parts: OwnMapperParts): AsyncDisposable {
  const stop = new AbortController();
  const running = folders.map((folder) => keepRunning(folder, parts, stop.signal));
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await Promise.all(running);
    },
  };
}

/** Never rejects. */
async function keepRunning(folder: string, parts: OwnMapperParts, signal: AbortSignal): Promise<void> {
  const { clock, log } = parts;
  const waits = (): Generator<number, never> =>
    backoff({ firstMs: firstRetryMs, capMs: lastRetryMs, random: () => clock.random() });
  let pauses = waits();
  while (!signal.aborted) {
    const startedMs = clock.monotonicMs();
    const ended = await runOnce(folder, parts, signal);
    if (signal.aborted) return;
    if (clock.monotonicMs() - startedMs >= steadyMs) pauses = waits();
    log.warn("a mapper ended, starting it again", { mapper: folder, ended });
    await clock.sleep(pauses.next().value, { signal }).catch(() => undefined);
  }
}

/** Its input ends with edgecore, however that ends: so does the mapper. @returns how it ended */
async function runOnce(
  folder: string,
  { command, socket, clock }: OwnMapperParts,
  signal: AbortSignal,
): Promise<string> {
  try {
    const words = [...command, folder, "--socket", socket, "--with-input"];
    const child = Bun.spawn(words, { stdin: "pipe", stdout: "ignore", stderr: "inherit" });
    let kill: Disposable | undefined;
    const end = (): void => {
      child.kill();
      kill = clock.after(endMs, () => child.kill("SIGKILL"));
    };
    signal.addEventListener("abort", end, { once: true });
    const code = await child.exited;
    signal.removeEventListener("abort", end);
    kill?.[Symbol.dispose]();
    return child.signalCode === null ? `exit code ${code}` : String(child.signalCode);
  } catch (error) {
    return describeError(error);
  }
}
