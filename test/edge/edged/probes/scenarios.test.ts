import { join } from "node:path";
import type { CommandResult } from "#edge/runtime";
import { recordOf } from "#shared/json";
import { Prober } from "#edge/edged/probes";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";

/** Results of each command in order, "pass" or "fail"; the last one repeats. */
class ScriptedCommands extends FakeRuntime {
  readonly #results: Readonly<Record<string, readonly string[]>>;
  readonly #runs = new Map<string, number>();

  constructor(clock: FakeClock, results: Readonly<Record<string, readonly string[]>>) {
    super(clock);
    this.#results = results;
  }

  override async runCommand(_id: string, [name = ""]: readonly string[]): Promise<CommandResult> {
    const run = this.#runs.get(name) ?? 0;
    this.#runs.set(name, run + 1);
    const results = this.#results[name] ?? [];
    const result = results[run] ?? results.at(-1) ?? "pass";
    return result === "pass" ? { exitCode: 0, output: "" } : { exitCode: 1, output: `${name} failed` };
  }
}

/** The container's probes over some seconds: each change of what the prober knows, and how often it reported which failure. */
async function probe({ input: [container, results], options }: ScenarioBlock): Promise<object> {
  const clock = new FakeClock();
  const failures: Record<string, number> = {};
  using prober = new Prober({
    runtime: new ScriptedCommands(clock, (results ?? {}) as Record<string, string[]>),
    clock,
    onChange: () => undefined,
    onFailure: (_container, kind, output) => {
      const text = `${kind}: ${output}`;
      failures[text] = (failures[text] ?? 0) + 1;
    },
  });
  prober.track([
    {
      id: "c1",
      container: { name: "c", ...recordOf(container) },
      ip: "192.0.2.1",
      startedAtMs: clock.nowMs(),
      wasReady: options.get("was-ready") === "true",
    },
  ]);
  const states: Record<string, string> = {};
  let last = "";
  for (let second = 0; second <= Number(options.get("seconds")); second += 1) {
    await clock.advance(second === 0 ? 0 : 1000);
    const words = [
      prober.started("c1") ? "started" : "",
      prober.ready("c1") ? "ready" : "",
      prober.unhealthy().has("c1") ? "unhealthy" : "",
    ];
    const state = words.filter(Boolean).join(" ") || "none";
    if (state !== last) states[`${second} s`] = state;
    last = state;
  }
  return { states, failures };
}

runScenarios(join(import.meta.dir, "scenarios"), () => ({ probe }));
