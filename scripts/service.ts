import { closeSync, openSync, readFileSync } from "node:fs";

/** A process of ours with its log in a file; disposing asks it to end and waits. */
export interface Service extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly log: string;
  /** Rejects with the end of its log when it ends before it is disposed. */
  readonly failed: Promise<never>;
}

export function startService(name: string, words: readonly string[], log: string): Service {
  const file = openSync(log, "a");
  const child = Bun.spawn([...words], { stdin: "ignore", stdout: file, stderr: file, detached: true });
  closeSync(file);
  let wanted = false;
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  void child.exited.then((code) => {
    if (!wanted) failed.reject(new Error(`${name} ended with ${code}; the end of ${log}:\n${tailOf(log)}`));
  });
  return {
    name,
    pid: child.pid,
    log,
    failed: failed.promise,
    [Symbol.asyncDispose]: async () => {
      wanted = true;
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

export function tailOf(log: string): string {
  return readFileSync(log, "utf8").trimEnd().split("\n").slice(-10).join("\n");
}

/** Runs a command to its end. @throws Error with its output when it fails */
export async function run(
  words: readonly string[],
  options: { readonly cwd?: string; readonly signal?: AbortSignal } = {},
): Promise<string> {
  const child = Bun.spawn([...words], { ...options, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${words.join(" ")} ended with ${code}:\n${(err + out).trimEnd()}`);
  return out;
}

/** Tries until it succeeds. @throws the last error after `limitMs` */
export async function eventually<T>(limitMs: number, attempt: () => Promise<T>): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > end) throw error;
      await Bun.sleep(50);
    }
  }
}

/** Ports nobody listens on at this moment. */
export function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } }),
  );
  const ports = listeners.map((listener) => listener.port);
  for (const listener of listeners) listener.stop(true);
  return ports;
}
