import { resources, type Informer, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import type { KubeObject, Node, Pod } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { ControllerDeps } from "#cloud/controllers/framework";
import { startDeploymentController } from "#cloud/controllers/workloads/deployment";
import { startClusterRoleAggregation } from "#cloud/controllers/cluster/cluster-role-aggregation";
import { startEndpointsController } from "#cloud/controllers/endpoints";
import { startEventExpiry } from "#cloud/controllers/cluster/event-expiry";
import { startGarbageCollector } from "#cloud/controllers/garbage-collector";
import { startNamespaceController } from "#cloud/controllers/cluster/namespace";
import { startNodeLifecycleController } from "#cloud/controllers/cluster/node-lifecycle";
import { startPodGarbageCollector } from "#cloud/controllers/cluster/pod-garbage-collector";
import { startReplicaSetController } from "#cloud/controllers/workloads/replica-set";
import { startScheduler } from "#cloud/controllers/scheduler";
import type { Deployment, ReplicaSet } from "#cloud/controllers/framework";

export interface ControllersDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** The API's certificate authority, published in each namespace when given. */
  readonly caPem?: string;
}

/**
 * What a cluster's scheduler and controller manager do, as far as edge workloads need it. Started once the first
 * complete lists are there; disposing ends the controllers before what they watch.
 */
export async function startControllers(deps: ControllersDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const { kube } = deps;
  const follow = <T extends KubeObject>(type: ResourceType): Informer<T> => stack.use(kube.informer<T>(type));
  const shared: ControllerDeps & Pick<ControllersDeps, "caPem"> = {
    ...deps,
    log: deps.log.child({ module: "controllers" }),
    pods: follow<Pod>(resources.pods),
    nodes: follow<Node>(resources.nodes),
    namespaces: follow(resources.namespaces),
    deployments: follow<Deployment>(resources.deployments),
    replicaSets: follow<ReplicaSet>(resources.replicaSets),
  };
  const { pods, nodes, namespaces, deployments, replicaSets } = shared;
  await Promise.all([pods, nodes, namespaces, deployments, replicaSets].map((informer) => informer.synced));
  const start = [
    startNodeLifecycleController,
    startNamespaceController,
    startScheduler,
    startReplicaSetController,
    startDeploymentController,
    startEndpointsController,
    startPodGarbageCollector,
    startGarbageCollector,
    startEventExpiry,
    startClusterRoleAggregation,
  ];
  for (const startController of start) stack.use(startController(shared));
  return running("controllers", stack.move());
}
