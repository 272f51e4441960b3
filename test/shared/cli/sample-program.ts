import { processHost, runProgram } from "#shared/cli";
import { edgeDefaults, edgeMinimum, loadEdgeConfig } from "#shared/config";
import { ConfigError } from "#shared/errors";
import { running } from "#shared/lifecycle";

/** A real process around `runProgram`, with a module whose behavior the node name chooses. */
const code = await runProgram(
  {
    program: "sample",
    commands: ["check"],
    operations: {
      label: {
        flags: ["colour"],
        switches: ["loud"],
        run: async ({ operands, flags }, { nodeName }, host) => {
          host.out(`${JSON.stringify([nodeName, operands, Object.fromEntries(flags)])}\n`);
          return 3;
        },
      },
    },
    flags: ["config", "data-dir", "log-level", "token", "server"],
    help: "help of sample\n",
    defaultConfig: edgeDefaults,
    minConfig: edgeMinimum,
    load: loadEdgeConfig,
    start: async (config, deps) => {
      const stack = new AsyncDisposableStack();
      const { nodeName } = config;
      if (nodeName === "refuses") throw new ConfigError("no", "Cannot listen on port 1: taken");
      if (nodeName === "breaks") throw new Error("disk on fire");
      deps.reportPort("mqtt", 4711);
      stack.use(deps.onReload(() => deps.log.info("module reloaded")));
      stack.defer(() => deps.log.info("module drained"));
      if (nodeName === "sick") {
        const sinceMs = deps.clock.monotonicMs();
        const isSick = (): boolean => deps.clock.monotonicMs() - sinceMs > 500;
        stack.use(deps.onHealth("pump", () => (isSick() ? "hangs" : undefined)));
      }
      if (nodeName === "hangs") stack.defer(() => new Promise(() => undefined));
      if (nodeName === "rejects") void Promise.reject(new Error("nobody caught me"));
      const failed = nodeName === "fails" ? Promise.reject(new Error("link lost")) : undefined;
      return running("sample", stack, failed);
    },
    check: async function* () {
      yield { state: "ok", subject: "one", evidence: "fine" };
      yield { state: "fail", subject: "two", evidence: "broken", remedy: "fix it" };
    },
  },
  processHost((exit) => process.exit(exit), process.env),
);
process.exit(code);
