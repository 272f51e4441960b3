import { findPodFault, type Pod } from "#shared/kube";

/**
 * Why a pod cannot be run; undefined when it can. Names become paths and names of containers: one that could leave its
 * directory is refused.
 */
export function findUnusable(pod: Pod): string | undefined {
  const fault = findPodFault(pod);
  if (fault !== undefined) return fault;
  const { uid, name, namespace } = pod.metadata;
  const containers = pod.spec?.containers ?? [];
  if (containers.length === 0) return "spec.containers: expected at least one";
  if (![uid, name, namespace].every(isName))
    return "metadata: name, namespace or uid is missing or not a name";
  const { initContainers = [], ephemeralContainers = [] } = pod.spec;
  const odd = [...containers, ...initContainers, ...ephemeralContainers].find(
    (one) => !isContainerName(one.name),
  );
  return odd && `a container is called ${JSON.stringify(odd.name)}: expected a DNS label`;
}

/** 253 characters, as Kubernetes allows in the name of an object. */
function isName(name: string | undefined): boolean {
  return name !== undefined && /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(name);
}

/** `POD` is the sandbox; an underscore would let two containers have one name in the engine. */
function isContainerName(name: string): boolean {
  return /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name);
}
