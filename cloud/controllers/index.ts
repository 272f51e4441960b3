import type { KubeClient } from "#cloud/kube-client";
import { startCertificateSigner, type SigningDeps } from "#cloud/controllers/certificates";
import { startClusterRoleAggregation } from "#cloud/controllers/cluster/cluster-role-aggregation";
import { startEventExpiry } from "#cloud/controllers/cluster/event-expiry";
import { startNamespaceController } from "#cloud/controllers/cluster/namespace";
import { startNodeLifecycleController } from "#cloud/controllers/cluster/node-lifecycle";
import { startPodGarbageCollector } from "#cloud/controllers/cluster/pod-garbage-collector";
import { startTaintEviction } from "#cloud/controllers/cluster/taint-eviction";
import { startDisruptionController } from "#cloud/controllers/disruption";
import { startEndpointsController, startEndpointsMirror } from "#cloud/controllers/endpoints";
import { followShared, type ControllerDeps } from "#cloud/controllers/framework";
import { startGarbageCollector } from "#cloud/controllers/garbage-collector";
import { startScheduler } from "#cloud/controllers/scheduler";
import { startCronJobController } from "#cloud/controllers/workloads/cron-job";
import { startStorageProtection, startVolumeBinder } from "#cloud/controllers/storage";
import { startAutoscaler } from "#cloud/controllers/workloads/autoscaler";
import { startDaemonSetController } from "#cloud/controllers/workloads/daemon-set";
import { startDeploymentController } from "#cloud/controllers/workloads/deployment";
import { startJobController } from "#cloud/controllers/workloads/job";
import {
  startReplicaSetController,
  startReplicationController,
} from "#cloud/controllers/workloads/replica-set";
import { startStatefulSetController } from "#cloud/controllers/workloads/stateful-set";
import type { Clock } from "#shared/clock";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";

export interface ControllersDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** The certificate authority of the API; published in each namespace when given. */
  readonly caPem?: string;
  /** What signs certificates; nothing does without. */
  readonly signing?: Pick<SigningDeps, "authority" | "beforeIssue">;
}

/**
 * Starts the parts of kube-scheduler and kube-controller-manager that edge workloads need, after the first complete lists.
 * Disposing ends the controllers before the informers they share.
 */
export async function startControllers(deps: ControllersDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const followed = stack.use(followShared(deps.kube));
  const shared: ControllerDeps & Pick<ControllersDeps, "caPem"> = {
    ...deps,
    log: deps.log.child({ module: "controllers" }),
    ...followed.informers,
  };
  await followed.synced;
  const start = [
    startNodeLifecycleController,
    startNamespaceController,
    startScheduler,
    startVolumeBinder,
    startStorageProtection,
    startReplicaSetController,
    startReplicationController,
    startDeploymentController,
    startDaemonSetController,
    startStatefulSetController,
    startAutoscaler,
    startJobController,
    startCronJobController,
    startDisruptionController,
    startEndpointsController,
    startEndpointsMirror,
    startPodGarbageCollector,
    startTaintEviction,
    startGarbageCollector,
    startEventExpiry,
    startClusterRoleAggregation,
  ];
  for (const startController of start) stack.use(startController(shared));
  if (deps.signing) stack.use(startCertificateSigner({ ...shared, ...deps.signing }));
  return running("controllers", stack.move());
}
