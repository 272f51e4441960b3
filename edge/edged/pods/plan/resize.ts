import { isDeepStrictEqual } from "node:util";
import { quantityNumber, type Container, type ContainerStatus, type Pod } from "#shared/kube";
import { requestsOf } from "#shared/scheduling";

type Resources = NonNullable<Container["resources"]>;

/** What becomes of a container whose resources changed: nothing, an update while it runs, or another run. */
export type Resize = "none" | "update" | "restart";

/** What can be changed in a container that runs. */
const resizable = ["cpu", "memory"] as const;

/**
 * By the container's `resizePolicy`; an update where it says nothing. @param applied what the container has; when it is not known, it
 * is given what it should have
 */
export function resizeOf(container: Container, applied: Resources | undefined): Resize {
  if (applied === undefined)
    return hasSame("cpu", container.resources) && hasSame("memory", container.resources) ? "none" : "update";
  const changed = resizable.filter((name) => !hasSame(name, container.resources, applied));
  if (changed.length === 0) return "none";
  const restarts = (container.resizePolicy ?? []).some(
    ({ resourceName, restartPolicy }) =>
      restartPolicy === "RestartContainer" && changed.some((name) => name === resourceName),
  );
  return restarts ? "restart" : "update";
}

function hasSame(name: (typeof resizable)[number], one: Resources = {}, other: Resources = {}): boolean {
  const amounts = ({ limits, requests }: Resources): readonly unknown[] => {
    const limit = quantityNumber(limits?.[name]);
    return [limit, quantityNumber(requests?.[name]) ?? limit];
  };
  return isDeepStrictEqual(amounts(one), amounts(other));
}

/** Whether a pod wants more of the node than the same pod before. */
export function isLarger(next: Pod, before: Pod): boolean {
  const had = requestsOf(before);
  return [...requestsOf(next)].some(([resource, amount]) => amount > (had.get(resource) ?? 0));
}

/** `next` with the resources that `allocated` has: what the node has not accepted stays as it was. */
export function allocatedPod(next: Pod, allocated: Pod): Pod {
  return withResources(next, (name) => {
    const all = [...allocated.spec.containers, ...(allocated.spec.initContainers ?? [])];
    const found = all.find((one) => one.name === name);
    return found && { resources: found.resources };
  });
}

/** A pod as the node had it when it was last reported. */
export function withStatusResources(pod: Pod): Pod {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  const known: readonly ContainerStatus[] = [...containerStatuses, ...initContainerStatuses];
  return withResources(pod, (name) => {
    const found = known.find((one) => one.name === name);
    return found?.resources && { resources: found.resources };
  });
}

function withResources(
  pod: Pod,
  find: (container: string) => { readonly resources: Resources | undefined } | undefined,
): Pod {
  const change = (container: Container): Container => {
    const found = find(container.name);
    if (!found || found.resources === container.resources) return container;
    const { resources: _wanted, ...others } = container;
    return { ...others, ...(found.resources && { resources: found.resources }) };
  };
  const { containers, initContainers } = pod.spec;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: containers.map(change),
      ...(initContainers && { initContainers: initContainers.map(change) }),
    },
  };
}
