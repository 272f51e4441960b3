import { ignoreMissing, isKubeError, objectAt, resources, type ResourceType } from "#cloud/kube-client";
import {
  claimOwned,
  controlledBy,
  controllerOf,
  isDeleting,
  isSelectedBy,
  OwnedIndex,
  type ControllerDeps,
  type ControllerRevision,
  type PodOwner,
} from "#cloud/controllers/framework";
import { sortFields, templateHash, templateText } from "#cloud/controllers/workloads/pods";
import { objectKey } from "#shared/kube";
import type { Informer } from "#cloud/kube-client";

type HistoryOwner = PodOwner & {
  readonly spec: { readonly revisionHistoryLimit?: number };
  readonly status?: { readonly collisionCount?: number };
};

export interface RevisionHistoryOptions<T extends HistoryOwner> {
  /** The kind of the owners. */
  readonly type: ResourceType;
  readonly owners: Informer<T>;
  /** The label of a revision that holds its hash. */
  readonly hashLabel: string;
  /** An owner with this key may adopt a revision. */
  readonly changed: (key: string) => void;
}

export interface TemplateRevisions {
  /** The revision of the owner's template. */
  readonly current: ControllerRevision;
  /** Others of the same template, which only a user can have made. */
  readonly twins: readonly ControllerRevision[];
  /** Those of other templates. */
  readonly old: readonly ControllerRevision[];
  /** How often the name of a revision was taken. */
  readonly collisionCount: number;
}

/**
 * The ControllerRevisions of the owners of one kind. A revision has the form that `kubectl rollout undo` sends as a patch.
 * Follows pkg/controller/history and pkg/controller/daemon/update.go: a template that returns gets the newest number.
 */
export class RevisionHistory<T extends HistoryOwner> implements Disposable {
  readonly #deps: ControllerDeps;
  readonly #options: RevisionHistoryOptions<T>;
  readonly #index: OwnedIndex<ControllerRevision>;

  constructor(deps: ControllerDeps, options: RevisionHistoryOptions<T>) {
    this.#deps = deps;
    this.#options = options;
    this.#index = new OwnedIndex(deps.controllerRevisions);
    this.#index.watch({ changed: (revision, _old, removed) => this.#revisionChanged(revision, removed) });
  }

  /** As upstream, a change of a revision that has its owner does not wake it: the next run finds it. */
  #revisionChanged(revision: ControllerRevision, removed: boolean): void {
    if (removed || controllerOf(revision)) return;
    const { owners, changed } = this.#options;
    for (const owner of owners.list())
      if (
        owner.metadata.namespace === revision.metadata.namespace &&
        isSelectedBy(owner.spec.selector, revision.metadata.labels)
      )
        changed(objectKey(owner));
  }

  /** The revisions of the owner, oldest first, after adopting; with one of its template, which is made when there is none. */
  async resolve(owner: T): Promise<TemplateRevisions> {
    const all = (await this.#claim(owner)).filter((revision) => !isDeleting(revision));
    const sorted = all.toSorted((a, b) => a.revision - b.revision);
    const isCurrent = (revision: ControllerRevision): boolean => isOfTemplate(revision, owner);
    const old = sorted.filter((revision) => !isCurrent(revision));
    const number = (old.at(-1)?.revision ?? 0) + 1;
    const equal = sorted.filter(isCurrent);
    const found = equal.pop();
    const collisionCount = owner.status?.collisionCount ?? 0;
    if (!found) return { ...(await this.#create(owner, number, collisionCount)), twins: [], old };
    const current = found.revision < number ? await this.#renumber(found, number) : found;
    return { current, twins: equal, old, collisionCount };
  }

  async #claim(owner: T): Promise<ControllerRevision[]> {
    return claimOwned({
      kube: this.#deps.kube,
      ownerType: this.#options.type,
      owner,
      type: resources.controllerRevisions,
      index: this.#index,
      adopts: () => true,
    });
  }

  async #renumber({ metadata }: ControllerRevision, revision: number): Promise<ControllerRevision> {
    const { uid, resourceVersion } = metadata;
    const patch = { metadata: { uid, resourceVersion }, revision };
    const target = objectAt({ metadata });
    return this.#deps.kube.patch(resources.controllerRevisions, target, patch, { type: "merge" });
  }

  /** Ends with a name that is free: each count of collisions gives another one. */
  async #create(
    owner: T,
    revision: number,
    firstCount: number,
  ): Promise<Pick<TemplateRevisions, "current" | "collisionCount">> {
    for (let collisionCount = firstCount; ; collisionCount += 1) {
      const hash = templateHash(owner.spec.template, collisionCount);
      const current = await this.#createOrFind(owner, this.#newRevision(owner, revision, hash));
      if (current) return { current, collisionCount };
    }
  }

  /** Undefined when another object has the name. */
  async #createOrFind(owner: T, revision: ControllerRevision): Promise<ControllerRevision | undefined> {
    const { kube } = this.#deps;
    try {
      return await kube.create(resources.controllerRevisions, revision);
    } catch (error) {
      if (!isKubeError(error, 409) || error.reason !== "AlreadyExists") throw error;
      const target = objectAt(revision);
      const existing = await kube.find<ControllerRevision>(resources.controllerRevisions, target);
      if (!existing) throw error;
      const isOurs = controllerOf(existing)?.uid === owner.metadata.uid;
      return isOurs && isOfTemplate(existing, owner) ? existing : undefined;
    }
  }

  #newRevision(owner: T, revision: number, hash: string): ControllerRevision {
    const { name = "", namespace = "", annotations } = owner.metadata;
    const { template } = owner.spec;
    const { type, hashLabel } = this.#options;
    return {
      apiVersion: "apps/v1",
      kind: "ControllerRevision",
      metadata: {
        name: `${name}-${hash}`,
        namespace,
        labels: { ...template.metadata?.labels, [hashLabel]: hash },
        ...(annotations && { annotations }),
        ownerReferences: [controlledBy(type, owner)],
      },
      // Clients compare these bytes with those of a template, which Go encodes with sorted fields.
      data: sortFields({ spec: { template: { ...template, $patch: "replace" } } }),
      revision,
    };
  }

  /** Removes the oldest revisions beyond revisionHistoryLimit that no pod is of. */
  async prune(
    owner: T,
    { old }: TemplateRevisions,
    isInUse: (revision: ControllerRevision) => boolean,
  ): Promise<void> {
    const unused = old.filter((revision) => !isInUse(revision));
    const surplus = unused.slice(0, Math.max(0, unused.length - (owner.spec.revisionHistoryLimit ?? 10)));
    for (const revision of surplus) {
      const { uid = "" } = revision.metadata;
      await ignoreMissing(this.#deps.kube.remove(resources.controllerRevisions, objectAt(revision), { uid }));
    }
  }

  [Symbol.dispose](): void {
    this.#index[Symbol.dispose]();
  }
}

function isOfTemplate({ data }: ControllerRevision, owner: PodOwner): boolean {
  const kept = data?.spec?.template;
  if (!kept) return false;
  const { $patch: _patch, ...template } = kept;
  return templateText(template) === templateText(owner.spec.template);
}
