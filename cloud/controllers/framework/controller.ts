import type { Informer, KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import type { KubeObject, Node, Pod } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { Deployment, ReplicaSet } from "./workloads.ts";

/** The dependencies of a controller; informers are shared, and synced before a controller starts. */
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

/** Starts a controller; disposing it ends its watches and waits for work under way. */
export type StartController = (deps: ControllerDeps) => AsyncDisposable;
