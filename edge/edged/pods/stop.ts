import type { Clock } from "#shared/clock";
import type { Container, Pod, Probe } from "#shared/kube";
import { withDeadline } from "#shared/lifecycle";
import type { ContainerDetails, ContainerRuntime } from "#edge/runtime";
import type { StopReason } from "#edge/edged/pods/plan";
import type { PodEvent } from "#edge/edged/events";
import { httpGet } from "#edge/edged/probes";

export type Why = StopReason | "deleted";

export interface StopTools {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly graceSeconds: number;
  readonly container: Container | undefined;
  readonly ip: string;
  readonly signal: AbortSignal;
}

/** The preStop hook and then the signal; both share the grace. At least 2 s are left for the signal. */
export async function stopGracefully(target: ContainerDetails, tools: StopTools): Promise<void> {
  const { runtime, clock, graceSeconds } = tools;
  const startMs = clock.monotonicMs();
  const hook = tools.container?.lifecycle?.["preStop"] as Hook | undefined;
  if (hook && graceSeconds > 0 && target.phase === "running") await runHook(target.id, hook, tools);
  const spent = Math.floor((clock.monotonicMs() - startMs) / 1000);
  const left = hook ? Math.max(Math.min(2, graceSeconds), graceSeconds - spent) : graceSeconds;
  await unlessAborted(runtime.stop(target.id, left), tools.signal);
}

/** The engine goes on stopping without us; whoever is disposed does not wait for it. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => undefined);
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** What a container hook may be. */
interface Hook {
  readonly exec?: { readonly command?: string[] };
  readonly httpGet?: Probe["httpGet"];
  readonly sleep?: { readonly seconds: number };
}

/** Runs a hook; one that fails or takes too long does not stop what it belongs to. @returns what went wrong */
async function runHook(id: string, hook: Hook, tools: StopTools): Promise<string | undefined> {
  const { runtime, clock, container, ip, signal } = tools;
  try {
    return await withDeadline(
      clock,
      { ms: tools.graceSeconds * 1000, what: "hook", signal },
      async (inner) => {
        if (hook.exec?.command) {
          const result = await runtime.exec(id, hook.exec.command, {
            signal: inner,
            maxOutputBytes: 4096,
          });
          return result.exitCode === 0
            ? undefined
            : `command exited with ${result.exitCode}: ${result.output}`;
        }
        if (hook.httpGet && container) return httpGet({ container, ip }, hook.httpGet, inner);
        if (hook.sleep) await clock.sleep(hook.sleep.seconds * 1000, { signal: inner });
        return undefined;
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    return String(error);
  }
}

/** A container whose hook fails is stopped; its restart policy decides what follows. @returns what to tell of it */
export async function runPostStart(id: string, tools: StopTools): Promise<PodEvent | undefined> {
  const hook = tools.container?.lifecycle?.["postStart"] as Hook | undefined;
  const wrong = hook && (await runHook(id, hook, { ...tools, graceSeconds: postStartSeconds }));
  if (wrong === undefined) return undefined;
  await tools.runtime.stop(id, tools.graceSeconds);
  return { type: "Warning", reason: "FailedPostStartHook", message: `PostStartHook failed: ${wrong}` };
}

const postStartSeconds = 60;

/** The grace a pod is given: that of its deletion, else its own. */
export function graceOf(pod: Pod): number {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  const own = pod.spec.terminationGracePeriodSeconds ?? 30;
  return deletionTimestamp === undefined ? own : (deletionGracePeriodSeconds ?? own);
}

export function stopText(why: Why, container: string): string {
  if (why === "unhealthy") return `Container ${container} failed liveness probe, will be restarted`;
  if (why === "changed") return `Container ${container} definition changed, will be restarted`;
  return `Stopping container ${container}`;
}
