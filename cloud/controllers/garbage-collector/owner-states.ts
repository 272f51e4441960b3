import type { ObjectAt, ResourceType } from "#cloud/kube-client";
import { recordEvent, type EventDeps, type TypedObject } from "#cloud/controllers/framework";
import { objectKey, type KubeObject, type OwnerReference } from "#shared/kube";
import { AbsentOwners } from "./absent-owners.ts";
import { kindId, type FollowedKind, type FollowedKinds } from "./followed-kinds.ts";
import { waitsForDependents } from "./owner-graph.ts";

/** `waiting`: the owner is being deleted in the foreground, and waits for its dependents. */
export type OwnerState = "present" | "waiting" | "absent";

interface Ownership {
  readonly reference: OwnerReference;
  readonly dependent: TypedObject;
}

/** Determines whether the owners that references name still exist; as attemptToDeleteItem of garbagecollector.go. */
export class OwnerStates {
  readonly #deps: EventDeps;
  readonly #kinds: FollowedKinds;
  readonly #absent = new AbsentOwners();

  constructor(deps: EventDeps, kinds: FollowedKinds) {
    this.#deps = deps;
    this.#kinds = kinds;
  }

  /** An owner of an unknown kind counts as present: nothing is deleted by a guess. */
  async stateOf(reference: OwnerReference, dependent: TypedObject): Promise<OwnerState> {
    const kind = this.#kinds.ownerKind(reference);
    if (!kind) return "present";
    const target = ownerTarget(kind.type, reference, dependent.object);
    if (!target) {
      // A cluster-scoped object cannot be owned from within a namespace; upstream keeps it and records an Event.
      this.#reportInvalid(reference, dependent);
      return "present";
    }
    const owner = kind.informer.get(objectKey({ metadata: target }));
    return owner?.metadata.uid === reference.uid
      ? stateOfOwner(owner)
      : this.#find(kind, target, { reference, dependent });
  }

  /** Asks the API, once, for an owner that the local copy does not have. */
  async #find({ type, informer }: FollowedKind, target: ObjectAt, owned: Ownership): Promise<OwnerState> {
    const { reference, dependent } = owned;
    const id = `${kindId(type)} ${objectKey({ metadata: target })} ${reference.uid}`;
    if (!this.#absent.has(id)) {
      const owner = await this.#deps.kube.find<KubeObject>(type, target);
      if (owner?.metadata.uid === reference.uid) return stateOfOwner(owner);
      const isElsewhere = informer.list().some(({ metadata }) => metadata.uid === reference.uid);
      this.#absent.add(id, isElsewhere);
    }
    if (this.#absent.isElsewhere(id)) this.#reportInvalid(reference, dependent);
    return "absent";
  }

  /** Reports once that an owner is in another namespace; it counts as absent then. */
  #reportInvalid(reference: OwnerReference, { type, object }: TypedObject): void {
    const { uid = "", namespace = "" } = object.metadata;
    const id = `event ${uid} ${reference.uid}`;
    if (this.#absent.has(id)) return;
    this.#absent.add(id, true);
    const { apiVersion, kind, name } = reference;
    const owner = `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${reference.uid}]`;
    void recordEvent(this.#deps, type, object, {
      type: "Warning",
      reason: "OwnerRefInvalidNamespace",
      message: `ownerRef ${owner} does not exist in namespace ${JSON.stringify(namespace)}`,
      component: "garbage-collector-controller",
    });
  }
}

function stateOfOwner(owner: KubeObject): OwnerState {
  return waitsForDependents(owner) ? "waiting" : "present";
}

/** Where the owner is; nothing can be owned from another namespace. */
export function ownerTarget(
  { namespaced }: ResourceType,
  { name }: OwnerReference,
  { metadata: { namespace } }: KubeObject,
): ObjectAt | undefined {
  if (!namespaced) return { name };
  return namespace === undefined ? undefined : { name, namespace };
}
