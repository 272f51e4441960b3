import type { ContainerRuntime } from "#edge/runtime";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import type { Container, Pod, PodSpec } from "#shared/kube";
import type { EdgedDeps, EdgedSettings } from "#edge/edged";
import { docker, engineSocket, removeContainers } from "#internal/test/support/machine/container-engine.ts";
import { EdgedHarness } from "./edged-harness.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

export interface EdgedWorld extends AsyncDisposable {
  readonly edge: EdgedHarness;
  readonly runtime: ContainerRuntime;
  readonly dataDir: string;
}

/** edged on the machine's Docker engine; disposing removes every container of the owner. */
export async function edgedWorld(
  owner: string,
  config: Partial<EdgedSettings> = {},
  parts: Pick<EdgedDeps, "devicePlugins"> = {},
): Promise<EdgedWorld> {
  const dir = tempDir("edged");
  const edge = new EdgedHarness();
  const address = `unix://${engineSocket}`;
  const runtime = await openDockerRuntime({ address, owner, clock: systemClock, log: silentLog() });
  await edge.start(runtime, systemClock, { dataDir: dir.path, ...config }, parts);
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    await runtime[Symbol.asyncDispose]();
    removeContainers(owner);
    dir[Symbol.dispose]();
  };
  return { edge, runtime, dataDir: dir.path, [Symbol.asyncDispose]: dispose };
}

export function shell(image: string, script: string, more: Partial<Container> = {}): Container {
  return { name: "c", image, command: ["sh", "-c", script], ...more };
}

/** What a container does that only has to be there. */
export const idle = "trap 'exit 0' TERM; sleep 1000 & wait";

export function podOf(name: string, spec: Partial<PodSpec> & { readonly containers: Container[] }): Pod {
  const uid = `${name}-${process.pid}`;
  const whole = { terminationGracePeriodSeconds: 0, ...spec };
  return { metadata: { name, namespace: "default", uid }, spec: whole };
}

export function isRunning(edge: EdgedHarness, pod: Pod): boolean {
  const status = edge.status(pod.metadata.uid ?? "");
  return (
    status?.phase === "Running" &&
    (status.containerStatuses ?? []).every((one) => one.state?.running !== undefined)
  );
}

/** Runs a shell in a pod's container. */
export function inPod(pod: Pod, container: string, script: string): string {
  const { name, namespace, uid } = pod.metadata;
  return docker("exec", `k8s_${container}_${name}_${namespace}_${uid}_0`, "sh", "-c", script);
}
