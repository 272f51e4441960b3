import { closeSync, openSync, readFileSync } from "node:fs";

/** A process of ours with its log in a file; disposing asks it to end and waits. */
export interface ServiceProcess extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly log: string;
  /** Rejects with the end of its log when it ends before it is disposed. */
  readonly failed: Promise<never>;
}

export function startService(name: string, words: readonly string[], log: string): ServiceProcess {
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

/**
 * Below the ports that Linux gives to outgoing connections and to listeners on port 0 (32768 and up), and below the
 * NodePorts of Kubernetes: until the caller listens, nothing else takes them by chance.
 */
const lowestFree = 20_000;
const highestFree = 29_999;

/** Ports nobody listens on at this moment, on any address. @throws Error when none is found */
export function freePorts(count: number): number[] {
  using held = new DisposableStack();
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries += 1) {
    if (tries > 1000) throw new Error(`No ${count} free ports from ${lowestFree} to ${highestFree}`);
    const port = lowestFree + Math.floor(Math.random() * (highestFree - lowestFree + 1));
    const listener = tryListen(port);
    if (!listener) continue;
    held.defer(() => listener.stop(true));
    ports.push(port);
  }
  return ports;
}

function tryListen(port: number): { stop(closeConnections: boolean): void } | undefined {
  try {
    return Bun.listen({ hostname: "0.0.0.0", port, socket: { data: () => undefined } });
  } catch {
    // Taken, or not for this user.
    return undefined;
  }
}
