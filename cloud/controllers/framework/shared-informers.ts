import { resources, type Informer, type KubeClient, type ResourceType } from "#cloud/kube-client";
import type { KubeObject, Node, Pod } from "#shared/kube";
import { OwnedIndex } from "./owned-index.ts";
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from "./storage.ts";
import type {
  ControllerRevision,
  CronJob,
  DaemonSet,
  Deployment,
  Job,
  PodDisruptionBudget,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
} from "./workloads.ts";

/** The collections that several controllers follow; each is listed and watched once. */
export interface SharedInformers {
  readonly pods: Informer<Pod>;
  readonly podsByOwner: OwnedIndex<Pod>;
  readonly nodes: Informer<Node>;
  readonly namespaces: Informer<KubeObject>;
  readonly deployments: Informer<Deployment>;
  readonly replicaSets: Informer<ReplicaSet>;
  readonly replicationControllers: Informer<ReplicationController>;
  readonly daemonSets: Informer<DaemonSet>;
  readonly statefulSets: Informer<StatefulSet>;
  readonly jobs: Informer<Job>;
  readonly cronJobs: Informer<CronJob>;
  readonly podDisruptionBudgets: Informer<PodDisruptionBudget>;
  readonly controllerRevisions: Informer<ControllerRevision>;
  readonly persistentVolumeClaims: Informer<PersistentVolumeClaim>;
  readonly persistentVolumes: Informer<PersistentVolume>;
  readonly storageClasses: Informer<StorageClass>;
}

export interface FollowedCollections extends AsyncDisposable {
  readonly informers: SharedInformers;
  /** Resolves after the first complete list of each. */
  readonly synced: Promise<unknown>;
}

/** Follows the shared collections until it is disposed. */
export function followShared(kube: KubeClient): FollowedCollections {
  const opened: Informer<KubeObject>[] = [];
  const follow = <T extends KubeObject>(type: ResourceType): Informer<T> => {
    const informer = kube.informer<T>(type);
    opened.push(informer);
    return informer;
  };
  const pods = follow<Pod>(resources.pods);
  const podsByOwner = new OwnedIndex(pods);
  const informers: SharedInformers = {
    pods,
    podsByOwner,
    nodes: follow<Node>(resources.nodes),
    namespaces: follow(resources.namespaces),
    deployments: follow<Deployment>(resources.deployments),
    replicaSets: follow<ReplicaSet>(resources.replicaSets),
    replicationControllers: follow<ReplicationController>(resources.replicationControllers),
    daemonSets: follow<DaemonSet>(resources.daemonSets),
    statefulSets: follow<StatefulSet>(resources.statefulSets),
    jobs: follow<Job>(resources.jobs),
    cronJobs: follow<CronJob>(resources.cronJobs),
    podDisruptionBudgets: follow<PodDisruptionBudget>(resources.podDisruptionBudgets),
    controllerRevisions: follow<ControllerRevision>(resources.controllerRevisions),
    persistentVolumeClaims: follow<PersistentVolumeClaim>(resources.persistentVolumeClaims),
    persistentVolumes: follow<PersistentVolume>(resources.persistentVolumes),
    storageClasses: follow<StorageClass>(resources.storageClasses),
  };
  return {
    informers,
    synced: Promise.all(opened.map(({ synced }) => synced)),
    [Symbol.asyncDispose]: async () => {
      podsByOwner[Symbol.dispose]();
      await Promise.all(opened.map((informer) => informer[Symbol.asyncDispose]()));
    },
  };
}
