import { recordOf } from "#shared/json";
import { findPodFault, type ObjectMeta, type Pod } from "#shared/kube";

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
  const choice = findOddChoice(pod);
  if (choice !== undefined) return choice;
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

const policies: Readonly<Record<string, readonly string[]>> = {
  restartPolicy: ["Always", "OnFailure", "Never"],
  dnsPolicy: ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
  imagePullPolicy: ["Always", "IfNotPresent", "Never"],
  terminationMessagePolicy: ["File", "FallbackToLogsOnError"],
  protocol: ["TCP", "UDP", "SCTP"],
};

/** A word that an API server would not let through, and that here would be taken for another one. */
function findOddChoice({ spec }: Pod): string | undefined {
  const lists = ["containers", "initContainers", "ephemeralContainers"] as const;
  const found = [
    ...choicesOf("spec", spec),
    ...lists.flatMap((list) =>
      (spec[list] ?? []).flatMap((container, index) => {
        const path = `spec.${list}[${index}]`;
        const ports = (container.ports ?? []).flatMap((port, at) => choicesOf(`${path}.ports[${at}]`, port));
        return [...choicesOf(path, container), ...ports];
      }),
    ),
  ];
  return found[0];
}

function choicesOf(path: string, given: object): string[] {
  return Object.entries(given).flatMap(([field, value]) => {
    const allowed = Object.hasOwn(policies, field) ? policies[field] : undefined;
    if (!allowed || typeof value !== "string" || value === "" || allowed.includes(value)) return [];
    return [`${path}.${field}: expected one of ${allowed.join(", ")}`];
  });
}

/** Whether an Event, and an answer to the cloud, can name it. */
export function isNamed(metadata: unknown): metadata is ObjectMeta & { readonly uid: string } {
  const { name, namespace, uid } = recordOf(metadata);
  return [name, namespace, uid].every((text) => typeof text === "string" && text !== "");
}
