import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BrokerConfig } from "#shared/config";

export interface MeasuredBroker extends AsyncDisposable {
  readonly mqttPort: number;
  readonly websocketPort: number;
  /** resident memory now, MiB */
  residentMb(): number;
  /** the most it ever was, MiB */
  peakMb(): number;
  /** what it has logged */
  log(): Promise<readonly LogLine[]>;
}

export interface LogLine {
  readonly msg: string;
  readonly client?: string;
}

type Answer =
  { readonly mqttPort: number; readonly websocketPort: number } | { readonly lines: readonly string[] };

/** The broker in a process of its own. */
export async function startMeasured(
  directory: string,
  broker: Partial<BrokerConfig> = {},
): Promise<MeasuredBroker> {
  let answer = Promise.withResolvers<Answer>();
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "broker-process.ts"), directory, JSON.stringify(broker)],
    {
      ipc: (message: Answer) => answer.resolve(message),
      stdio: ["ignore", "ignore", "inherit"],
      onExit: () => answer.reject(new Error("the broker's process has ended")),
    },
  );
  const ports = await answer.promise;
  if (!("mqttPort" in ports)) throw new Error("no ports");
  const memory = (name: string): number => {
    const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
    return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
  };
  return {
    ...ports,
    residentMb: () => memory("VmRSS"),
    peakMb: () => memory("VmHWM"),
    log: async () => {
      answer = Promise.withResolvers();
      child.send("log");
      const got = await answer.promise;
      return "lines" in got ? got.lines.map((line) => JSON.parse(line) as LogLine) : [];
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
