import type { Host } from "#shared/cli";
import { ConfigError } from "#shared/errors";
import { help, readOptions } from "./options.ts";
import { simulate } from "./simulation.ts";

export { thermostatObjects } from "./thermostats.ts";

/**
 * Devices that are not there, for a try and for load: `edgecore simulate` with what follows it on the command line.
 * @returns the exit code. @throws ConfigError when misused, UnavailableError when nobody took a report
 */
export async function runSimulator(words: readonly string[], host: Host): Promise<number> {
  const options = readOptions(words);
  if (options === "help") {
    host.out(help);
    return 0;
  }
  if ("refusal" in options)
    throw new ConfigError("usage", `${options.refusal} (edgecore simulate --help tells more)`);
  await simulate(options, host);
  return 0;
}
