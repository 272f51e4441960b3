import { test } from "bun:test";
import * as fc from "fast-check";
import { needs } from "#internal/test/support/needs.ts";

/**
 * How the two minutes of a run in CI are shared, in seconds. `bun run fuzz --minutes N` gives all of them more in the same
 * proportion. A property that is not here does not run.
 */
export const budget = {
  "wire frames": 3,
  "arbitrary wire frames": 2,
  "messages of nodes": 2,
  "objects for nodes": 1,
  "resource names and device topics": 2,
  "JSON patches": 5,
  "arbitrary JSON patches": 4,
  "merge patches": 3,
  "strategic merge patches": 5,
  "label selectors": 3,
  "arbitrary label selectors": 2,
  "field selectors": 3,
  "topic filters": 4,
  "retained messages": 4,
  expressions: 3,
  templates: 3,
  "device reports": 3,
  quantities: 3,
  "configuration files": 4,
  "request bodies": 3,
  "request bodies in protobuf": 5,
  "request targets": 2,
  "continue tokens": 2,
  "join tokens": 2,
  "certificate requests": 3,
  "requests to the API": 5,
  "requests to servers on a node": 1,
  "frames of streams": 1,
  "requests for streams to pods": 1,
  "channels of processes": 1,
  "MQTT packets": 7,
  "MQTT packets in pieces": 5,
  "MQTT 5 packets": 7,
  "bytes of MQTT 5 in pieces": 3,
  "volumes of files": 4,
  "pods of any shape": 5,
  "sub-paths of volumes": 4,
} as const;

export const secondsInCi = 120;
const runMinutes = Number(process.env["FUZZ_MINUTES"] ?? secondsInCi / 60);
const seed = numberOf(process.env["FUZZ_SEED"]);
const path = process.env["FUZZ_PATH"];

type Property<T> = fc.IRawProperty<T>;

/** Runs a property for its share of the time, if `parts` are there; a failure prints how to run it again. */
export function fuzz<T>(
  name: keyof typeof budget,
  property: () => Property<T> | Promise<Property<T>>,
  parts: Readonly<Record<string, boolean>> = {},
): void {
  const limitMs = (budget[name] * 1000 * runMinutes * 60) / secondsInCi;
  test.skipIf(!needs(parts))(
    `${name} hold their promises when fuzzed`,
    async () => {
      const { tracked, settled } = track(await property());
      const details = await fc.check(tracked, {
        numRuns: path === undefined ? Number.MAX_SAFE_INTEGER : 1,
        interruptAfterTimeLimit: limitMs,
        markInterruptAsFailure: false,
        ...(seed !== undefined && { seed }),
        ...(path !== undefined && { path }),
      });
      await settled();
      if (details.failed) throw new Error(report(name, details), { cause: details.errorInstance });
      if (details.numRuns === 0) throw new Error(`no run of "${name}" was finished in ${limitMs} ms`);
      if (process.env["FUZZ_MINUTES"] !== undefined) console.info(`${name}: ${details.numRuns} runs`);
    },
    limitMs * 2 + 60_000,
  );
}

/** The run that the time limit interrupts still goes on, and may have something to clean up. */
function track<T>(property: Property<T>): {
  readonly tracked: Property<T>;
  readonly settled: () => Promise<void>;
} {
  let last: unknown;
  const run = property.run.bind(property);
  property.run = (value) => {
    const outcome = run(value);
    last = outcome;
    return outcome;
  };
  return { tracked: property, settled: async () => void (await last) };
}

function report<T>(name: string, details: fc.RunDetails<T>): string {
  const again = `bun run fuzz --only "${name} hold" --seed ${details.seed} --path ${details.counterexamplePath ?? ""}`;
  return `${fc.defaultReportMessage(details) ?? "failed"}\n\nTo run it again: ${again}`;
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || text === "" ? undefined : Number(text);
}

/** Fails when `work` costs more CPU time than any input of that size may, however it ends. */
export function within<T>(ms: number, work: () => T): T {
  const before = process.cpuUsage();
  try {
    const result = work();
    checkTime(ms, before);
    return result;
  } catch (error) {
    checkTime(ms, before);
    throw error;
  }
}

/** CPU time, as a busy machine makes everything slow. */
export function checkTime(ms: number, before: NodeJS.CpuUsage): void {
  const { user, system } = process.cpuUsage(before);
  const tookMs = (user + system) / 1000;
  if (tookMs > ms) throw new Error(`took ${Math.round(tookMs)} ms, more than ${ms}`);
}
