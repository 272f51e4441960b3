import { writeSync } from "node:fs";
import { hostname } from "node:os";
import { errorCodeOf } from "#shared/errors";
import { systemClock, type Clock } from "#shared/clock";
import type { ManagerAddress } from "#shared/service-manager";
import { readSecret } from "./secret-input.ts";

export type SignalName = "SIGTERM" | "SIGINT" | "SIGHUP";

/** What a program needs of the process it runs in; tests hand in their own. */
export interface Host {
  readonly words: readonly string[];
  readonly workingDir: string;
  readonly executable: string;
  readonly hostName: string;
  readonly pid: number;
  readonly clock: Clock;
  readonly terminal: boolean;
  /** Who started the program, as far as it asks for news. */
  readonly manager: ManagerAddress;
  /** CPU time the process has used. */
  cpuMs(): number;
  /** Gives back what a start took: memory, and the reluctance of executables to compile code to machine code. */
  settle(): void;
  /** The first line of standard input. At a terminal `ask` comes before, and nothing shows what is typed. */
  readSecret(ask: () => void): Promise<string>;
  out(text: string): void;
  /** As `out`, as fast as the reader takes it. @returns false when nobody reads any more */
  pass(bytes: Uint8Array): Promise<boolean>;
  err(text: string): void;
  onSignal(name: SignalName, run: () => void): void;
  onCrash(run: (error: unknown) => void): void;
  exit(code: number): void;
}

/** The real process; `environment`: its variables. */
export function processHost(
  exit: (code: number) => void,
  environment: Readonly<Record<string, string | undefined>> = {},
): Host {
  return {
    manager: {
      notifySocket: environment["NOTIFY_SOCKET"],
      watchdogMicroseconds: environment["WATCHDOG_USEC"],
      watchdogPid: environment["WATCHDOG_PID"],
    },
    words: process.argv.slice(2),
    workingDir: process.cwd(),
    executable: process.execPath,
    hostName: hostname(),
    pid: process.pid,
    clock: systemClock,
    terminal: process.stderr.isTTY,
    cpuMs: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    settle: () => {
      // Until the next collection, which may be hours away on a quiet node, all that was parsed while starting stays.
      Bun.gc(true);
      Bun.unsafe.setJITPolicy(1);
    },
    readSecret,
    out: (text) => write(1, text),
    pass,
    err: (text) => write(2, text),
    onSignal: (name, run) => void process.on(name, run),
    onCrash: (run) => {
      process.on("uncaughtException", run);
      process.on("unhandledRejection", run);
    },
    exit,
  };
}

async function pass(bytes: Uint8Array): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const gone = (): void => resolve(false);
  process.stdout.once("error", gone);
  process.stdout.write(bytes, (error) => resolve(!error));
  const isRead = await promise;
  process.stdout.off("error", gone);
  return isRead;
}

/** A reader that is gone or stuck must not stop the program: what cannot be written is dropped. */
function write(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  let done = 0;
  for (let attempt = 0; done < bytes.length && attempt < 1000; attempt += 1) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if (errorCodeOf(error) !== "EAGAIN") return;
    }
  }
}
