import type { Host } from "#shared/cli";
import { ConfigError } from "#shared/errors";
import { help, readOptions } from "./options.ts";
import { simulate } from "./simulation.ts";

export { thermostatObjects } from "./thermostats.ts";

/**
 * Simulated devices, to try edgecore and to load it: `edgecore simulate` with the words that follow it.
 * @returns the exit code. @throws ConfigError when misused, UnavailableError when no report was accepted
 */
export async function runSimulator(words: readonly string[], host: Host): Promise<number> {
  const options = readOptions(words);
  if (options === "help") {
    host.out(help);
    return 0;
  }
  if ("refusal" in options)
    throw new ConfigError("usage", `${options.refusal} (see edgecore simulate --help)`);
  await simulate(options, host);
  return 0;
}
