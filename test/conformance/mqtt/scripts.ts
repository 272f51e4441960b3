import { existsSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { differences } from "./differences.ts";
import { leftOut } from "./left-out.ts";

const suite = join(import.meta.dir, "../../../.run/mqtt-tests");
const folder = join(suite, "source/test/broker");
const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";

/** Whether `scripts/prepare.sh` could download the suite. */
export const isSuiteReady = existsSync(join(suite, "ready"));

/** Version of mosquitto whose tests these are. */
export function suiteVersion(): string {
  const description = readdirSync(suite).find((name) => name.endsWith(".dsc")) ?? "";
  return /^mosquitto_([\d.]+)/.exec(description)?.[1] ?? "";
}

/** What became of a script. */
export type ScriptResult = "passed" | "failed";

export interface ScriptOutcome {
  readonly result: ScriptResult;
  /** end of what it printed */
  readonly output: string;
}

/** All tests of the suite; `NN-name-helper.py` are parts of others. */
export function listScripts(): string[] {
  return readdirSync(folder).filter((name) => /^\d\d-.*(?<!-helper)\.py$/.test(name));
}

/** Runs all scripts that are not left out, three at a time. */
export async function runScripts(): Promise<ReadonlyMap<string, ScriptOutcome>> {
  const outcomes = new Map<string, ScriptOutcome>();
  const waiting = listScripts().filter((name) => !leftOut.some(({ scripts }) => scripts.test(name)));
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift())
      outcomes.set(next, await runPatiently(next));
  };
  await Promise.all([work(), work(), work()]);
  return outcomes;
}

/** The scripts have short timeouts: on a busy machine one that should pass is run again. */
async function runPatiently(name: string): Promise<ScriptOutcome> {
  const first = await runScript(name);
  return first.result !== "failed" || differences[name] !== undefined ? first : runScript(name);
}

async function runScript(script: string): Promise<ScriptOutcome> {
  // A broker that is killed leaves its files behind.
  using scratch = tempDir("mqtt-suite");
  const child = Bun.spawn([python, script], {
    cwd: folder,
    env: {
      ...process.env,
      TMPDIR: scratch.path,
      MQTT_SUITE_PORTS: (await freePorts(3)).join(","),
      MQTT_SUITE_BUN: process.execPath,
      MQTT_SUITE_BROKER: join(import.meta.dir, "broker.ts"),
      PYTHONPATH: import.meta.dir,
      PYTHONDONTWRITEBYTECODE: "1",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
    detached: true,
  });
  // A script that fails may leave its broker behind, which would keep the output open.
  const ended = child.exited.then((code) => {
    killGroup(child.pid);
    return code;
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    ended,
  ]);
  return { result: code === 0 ? "passed" : "failed", output: (out + err).trim().slice(-500) };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error) || error.code !== "ESRCH") throw error;
  }
}

async function freePorts(count: number): Promise<string[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once("listening", resolve))));
  const ports = servers.map((server) => {
    const address = server.address();
    return String(typeof address === "object" && address ? address.port : 0);
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
