import { join } from "node:path";
import { parseArgs } from "node:util";

/**
 * `bun run fuzz --minutes 30 [--only "label selectors"] [--seed N --path P]`: the fuzzing of `bun run test`, for longer. A
 * failure prints seed and path; with both, that case alone is run.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    only: { type: "string" },
    seed: { type: "string" },
    path: { type: "string" },
  },
});
const { minutes, only, seed, path } = values;
if (!(Number(minutes) > 0) || (seed !== undefined && !Number.isSafeInteger(Number(seed)))) {
  process.stderr.write("usage: bun run fuzz [--minutes N] [--only NAME] [--seed N] [--path P]\n");
  process.exit(2);
}
const child = Bun.spawn(
  [process.execPath, "test", "--isolate", "test/fuzz", ...(only === undefined ? [] : ["-t", only])],
  {
    cwd: join(import.meta.dir, ".."),
    env: {
      ...process.env,
      FUZZ_MINUTES: minutes,
      ...(seed !== undefined && { FUZZ_SEED: seed }),
      ...(path !== undefined && { FUZZ_PATH: path }),
    },
    stdio: ["ignore", "inherit", "inherit"],
  },
);
process.exit(await child.exited);
