import type { Container, Pod } from "#shared/kube";
import type { ContainerDetails } from "#edge/runtime";

/** What a container of a pod's spec is: one of `initContainers` (a sidecar too), `containers`, or `ephemeralContainers`. */
export type Role = "init" | "container" | "ephemeral";

/** Name of the sandbox among the containers of a pod, as in kubelet. */
export const sandboxName = "POD";

/** Instances of one container, the newest first. */
export function historyOf(containers: readonly ContainerDetails[], name: string): ContainerDetails[] {
  const instances = containers.filter((one) => one.identity.container === name);
  return instances.sort((a, b) => b.identity.attempt - a.identity.attempt);
}

/** Runs that have ended and were followed by another, except for sandboxes that last runs would go with. */
export function earlierRuns(containers: readonly ContainerDetails[]): ContainerDetails[] {
  const isLatest = (one: ContainerDetails): boolean =>
    historyOf(containers, one.identity.container)[0] === one;
  const isKept = ({ id }: ContainerDetails): boolean =>
    containers.some((one) => one.identity.sandboxId === id && isLatest(one));
  return containers.filter((one) => one.phase === "exited" && !isLatest(one) && !isKept(one));
}

/** The sandbox that runs; undefined when the pod needs another. */
export function currentSandbox(containers: readonly ContainerDetails[]): ContainerDetails | undefined {
  return historyOf(containers, sandboxName).find((one) => one.phase === "running");
}

/** Whether the restart policies of Kubernetes allow another run of a container that ended. */
export function mayRestart(pod: Pod, ended: ContainerDetails, container?: Container): boolean {
  const policy = container?.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
  const failed = ended.exitCode !== 0;
  if (ended.identity.role === "ephemeral") return false;
  if (ended.identity.role === "init")
    return container?.restartPolicy === "Always" || (failed && policy !== "Never");
  return policy === "Always" || (policy === "OnFailure" && failed);
}

/** Whether all init containers of this sandbox have succeeded (sidecars: started), or a main container exists already. */
export function initsDone(
  pod: Pod,
  containers: readonly ContainerDetails[],
  started: (id: string) => boolean,
): boolean {
  return nextInit(pod, containers, started) === undefined;
}

/** The init container to run next; undefined when none is left. */
export function nextInit(
  pod: Pod,
  containers: readonly ContainerDetails[],
  started: (id: string) => boolean,
): Container | undefined {
  const sandbox = currentSandbox(containers)?.id;
  const mainMade = containers.some(
    (one) =>
      one.identity.role === "container" && one.identity.sandboxId === sandbox && one.phase !== "created",
  );
  if (mainMade) return undefined;
  return (pod.spec.initContainers ?? []).find((init) => {
    const [latest] = historyOf(containers, init.name);
    if (!latest || latest.identity.sandboxId !== sandbox) return true;
    if (init.restartPolicy === "Always") return latest.phase !== "running" || !started(latest.id);
    return latest.phase !== "exited" || latest.exitCode !== 0;
  });
}
