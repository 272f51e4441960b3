import { ignoreMissing, resources } from "#cloud/kube-client";
import { rfc3339 } from "#shared/clock";
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
async function end({ kube, clock }: PodGcDeps, { metadata, status }: Pod): Promise<void> {
  const { name = "", namespace = "default", uid = "" } = metadata;
  const place = { name, namespace };
  if (status?.phase !== "Succeeded" && status?.phase !== "Failed") {
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByPodGC",
      message: "PodGC: node no longer exists",
      lastTransitionTime: rfc3339(clock.nowMs()),
    };
    const patch = { metadata: { uid }, status: { phase: "Failed", conditions: [condition] } };
    const options = { type: "strategic", subresource: "status" } as const;
    // 409 and 422: another pod has the name now.
    await ignoreMissing(kube.patch(resources.pods, place, patch, options), 409, 422);
  }
  await ignoreMissing(kube.remove(resources.pods, place, { graceSeconds: 0, uid }), 409);
}
