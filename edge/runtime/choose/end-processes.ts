import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { ContainerSummary, PodProcesses } from "#edge/runtime";
import type { ProcessRuntimeOptions } from "#edge/runtime/process";

/** Without any user: nothing is started with it. */
const nothing = { programs: [], first: 0, last: -1, users: [], groups: [] };
/** Pods of the engine wait for it. */
const mostGraceSeconds = 30;

/**
 * Ends the programs of pods that a node runs no longer because its configuration has changed: nobody would list, stop or remove them
 * later. Their grace period is that of their pods, 30 s at most. What cannot be ended is logged.
 */
export async function endProcesses(options: Omit<ProcessRuntimeOptions, "config">): Promise<void> {
  if (!hasRecords(options.dataDir)) return;
  const { log } = options;
  const { openProcessRuntime } = await import("#edge/runtime/process");
  await using runtime = openProcessRuntime({ ...options, config: nothing });
  const list = await runtime.list();
  const end = async (one: ContainerSummary): Promise<void> => {
    const { podNamespace, podName, container } = one.identity;
    const fields = { pod: `${podNamespace}/${podName}`, container };
    try {
      await endOne(runtime, one);
      const fix = "edged.processes.enabled";
      if (one.phase === "running" && !isSandbox(one))
        log.warn("ended a program: this node allows none", { ...fields, fix });
    } catch (error) {
      log.error("cannot end a program", { ...fields, error });
    }
  };
  const [sandboxes, containers] = [list.filter(isSandbox), list.filter((one) => !isSandbox(one))];
  await Promise.all(containers.map(end));
  const left = new Set((await runtime.list()).filter((one) => !isSandbox(one)).map(podOf));
  // That of a program that could not be ended is tried again at the next start.
  await Promise.all(sandboxes.filter((one) => !left.has(podOf(one))).map(end));
}

async function endOne(runtime: PodProcesses, one: ContainerSummary): Promise<void> {
  const { id, identity } = one;
  if (isSandbox(one)) return runtime.removeSandbox(id);
  await runtime.stop(id, Math.min(identity.graceSeconds, mostGraceSeconds));
  await runtime.remove(id);
}

function podOf({ identity }: ContainerSummary): string {
  return identity.podUid;
}

function isSandbox({ identity }: ContainerSummary): boolean {
  return identity.role === "sandbox";
}

function hasRecords(dataDir: string): boolean {
  try {
    return readdirSync(join(dataDir, "processes")).length > 0;
  } catch {
    return false;
  }
}
