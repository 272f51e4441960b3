import { markDisrupted } from "#cloud/controllers/disruption";
import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import type { Pod } from "#shared/kube";
import { WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";

/**
 * How long a node has to be gone before its pods are deleted: the local copy may be behind, or the node be created again.
 * Upstream waits 40 s (quarantineTime), for slower informers.
 */
const quarantineMs = 10_000;

type PodGcDeps = Pick<ControllerDeps, "kube" | "clock" | "log" | "pods" | "nodes">;

/** Deletes pods bound to nodes that no longer exist, which no kubelet would end; as upstream's pkg/controller/podgc. */
export function startPodGarbageCollector(deps: PodGcDeps): AsyncDisposable {
  const queue = new WorkQueue({ ...deps, name: "pod-gc", reconcile: (node) => collect(deps, node) });
  const check = (pod: Pod): void => {
    const { nodeName } = pod.spec;
    if (nodeName && !deps.nodes.get(nodeName)) queue.addAfter(nodeName, quarantineMs);
  };
  const watches = [
    deps.pods.watch({
      added: check,
      updated: (pod, old) => {
        if (!old.spec.nodeName) check(pod);
      },
    }),
    deps.nodes.watch({ removed: (node) => queue.addAfter(node.metadata.name ?? "", quarantineMs) }),
  ];
  return {
    [Symbol.asyncDispose]: async () => {
      for (const watch of watches) watch[Symbol.dispose]();
      await queue[Symbol.asyncDispose]();
    },
  };
}

async function collect(deps: PodGcDeps, node: string): Promise<void> {
  const { kube, nodes, pods, log } = deps;
  const orphans = pods.list().filter((pod) => pod.spec.nodeName === node);
  if (orphans.length === 0 || nodes.get(node)) return;
  if (await kube.find(resources.nodes, { name: node })) return;
  log.info("deleting pods of a deleted node", { node, pods: orphans.length });
  // One at a time: there is no hurry.
  for (const pod of orphans) await end(deps, pod);
}

/** A pod that is kept by a finalizer, such as that of a Job, says how it ended. */
async function end(deps: PodGcDeps, pod: Pod): Promise<void> {
  const { uid = "" } = pod.metadata;
  const message = "PodGC: node no longer exists";
  if (pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed")
    await markDisrupted(deps, pod, { reason: "DeletionByPodGC", message, phase: "Failed" });
  await ignoreMissing(deps.kube.remove(resources.pods, objectAt(pod), { graceSeconds: 0, uid }), 409);
}
