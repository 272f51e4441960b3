import { describeError, UnavailableError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import { withDeadline } from "#shared/lifecycle";

export interface ToolOptions {
  readonly clock: Clock;
  readonly limitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What became of a program: undefined when it succeeded, else what it said. */
export type ToolFailure = string | undefined;

/**
 * Runs a program of the host. One that hangs, as those that wait for a file server do, is killed with what it has started, and
 * is not waited for: not even a signal may end it while the kernel waits. @throws the reason of `signal`
 */
export async function runTool(command: readonly string[], options: ToolOptions): Promise<ToolFailure> {
  const { clock, limitMs, signal } = options;
  // A group of its own: `mount` starts others, which would outlive it.
  const child = Bun.spawn([...command], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    detached: true,
  });
  try {
    return await withDeadline(clock, { ms: limitMs, what: command[0] ?? "", signal }, async () => {
      const text = (await new Response(child.stderr).text()).trim();
      const exitCode = await child.exited;
      return exitCode === 0 ? undefined : text || `${command[0]} exited with ${exitCode}`;
    });
  } catch (error) {
    child.unref();
    killGroup(child.pid);
    signal?.throwIfAborted();
    if (error instanceof UnavailableError) return `no answer within ${Math.round(limitMs / 1000)} s`;
    return describeError(error);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}
