import { resources, type Informer, type ResourceType } from "#cloud/kube-client";
import type { ControllerDeps, ReplicaSet, ReplicationController } from "#cloud/controllers/framework";

/** What differs between ReplicaSets and ReplicationControllers. */
export interface ReplicaKind {
  readonly type: ResourceType;
  /** The source of the Events. */
  readonly component: string;
  readonly owners: (deps: ControllerDeps) => Informer<ReplicaSet>;
}

export const replicaSetKind: ReplicaKind = {
  type: resources.replicaSets,
  component: "replicaset-controller",
  owners: ({ replicaSets }) => replicaSets,
};

export const replicationControllerKind: ReplicaKind = {
  type: resources.replicationControllers,
  component: "replication-controller",
  owners: ({ replicationControllers }) => asReplicaSets(replicationControllers),
};

/** A view of ReplicationControllers with selectors as ReplicaSets have them; as pkg/controller/replication/conversion.go. */
function asReplicaSets(informer: Informer<ReplicationController>): Informer<ReplicaSet> {
  return {
    synced: informer.synced,
    get: (key) => {
      const found = informer.get(key);
      return found && toReplicaSet(found);
    },
    list: () => informer.list().map(toReplicaSet),
    watch: (handler) =>
      informer.watch({
        added: (object) => handler.added?.(toReplicaSet(object)),
        updated: (object, old) => handler.updated?.(toReplicaSet(object), toReplicaSet(old)),
        removed: (object) => handler.removed?.(toReplicaSet(object)),
      }),
    [Symbol.asyncDispose]: () => informer[Symbol.asyncDispose](),
  };
}

function toReplicaSet({ spec, status, ...rest }: ReplicationController): ReplicaSet {
  const selector = { matchLabels: spec.selector ?? {} };
  return { ...rest, spec: { ...spec, selector }, ...(status && { status }) };
}
