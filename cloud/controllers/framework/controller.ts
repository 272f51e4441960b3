import type { Informer, KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import type { KubeObject, Node, Pod } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { Deployment, ReplicaSet } from "./workloads.ts";

/** What every controller works with; informers are shared and synced before a controller starts. */
export interface ControllerDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly namespaces: Informer<KubeObject>;
  readonly deployments: Informer<Deployment>;
  readonly replicaSets: Informer<ReplicaSet>;
}

/** A started controller; disposing stops its watching and waits for its work. */
export type StartController = (deps: ControllerDeps) => AsyncDisposable;
