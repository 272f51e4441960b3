import { resources, type Informer } from "#cloud/kube-client";
import { WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import { matchesLabelSelector, type KubeObject, type LabelSelector } from "#shared/kube";

interface ClusterRole extends KubeObject {
  readonly rules?: readonly unknown[] | null;
  readonly aggregationRule?: { readonly clusterRoleSelectors?: readonly LabelSelector[] } | null;
}

/**
 * Keeps the rules of ClusterRoles with an aggregationRule equal to those of the ClusterRoles it selects, as
 * kube-controller-manager's pkg/controller/clusterroleaggregation.
 */
export function startClusterRoleAggregation(
  deps: Pick<ControllerDeps, "kube" | "clock" | "log">,
): AsyncDisposable {
  const roles = deps.kube.informer<ClusterRole>(resources.clusterRoles);
  const queue = new WorkQueue({
    ...deps,
    name: "clusterrole-aggregation",
    reconcile: async (name) => {
      await roles.synced;
      await aggregate(deps, roles, name);
    },
  });
  // Any ClusterRole may be selected by any other: a change of one concerns all that aggregate.
  const check = (): void => {
    for (const role of roles.list()) if (role.aggregationRule) queue.add(role.metadata.name ?? "");
  };
  const watch = roles.watch({ added: check, updated: check, removed: check });
  return {
    [Symbol.asyncDispose]: async () => {
      watch[Symbol.dispose]();
      await queue[Symbol.asyncDispose]();
      await roles[Symbol.asyncDispose]();
    },
  };
}

async function aggregate(
  { kube }: Pick<ControllerDeps, "kube">,
  roles: Informer<ClusterRole>,
  name: string,
): Promise<void> {
  const role = roles.get(name);
  if (!role?.aggregationRule) return;
  const rules = rulesFor(role, roles.list());
  if (Bun.deepEquals(rules, role.rules ?? [])) return;
  const { resourceVersion } = role.metadata;
  const patch = { metadata: { resourceVersion }, rules };
  await kube.patch(resources.clusterRoles, { name }, patch, { type: "merge" });
}

/** Sorted by the names of the roles; each rule once. */
function rulesFor(role: ClusterRole, all: readonly ClusterRole[]): unknown[] {
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? [];
  const chosen = all
    .filter(({ metadata }) => metadata.uid !== role.metadata.uid)
    .filter(({ metadata }) =>
      selectors.some((selector) => matchesLabelSelector(selector, metadata.labels ?? {})),
    )
    .toSorted((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  const rules = new Map(
    chosen.flatMap((one) => (one.rules ?? []).map((rule) => [JSON.stringify(rule), rule])),
  );
  return [...rules.values()];
}
