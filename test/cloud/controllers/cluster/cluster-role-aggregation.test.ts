import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startClusterRoleAggregation } from "#internal/cloud/controllers/cluster/cluster-role-aggregation/index.ts";
import { eventually } from "#internal/scripts/service.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import type { KubeObject } from "#shared/kube";

const get = { verbs: ["get"], apiGroups: [""], resources: ["pods"] };
const list = { verbs: ["list"], apiGroups: [""], resources: ["pods"] };

function role(name: string, labels: Record<string, string>, rules: unknown): KubeObject {
  return { metadata: { name, labels }, rules };
}

test("an aggregated ClusterRole has the rules of those it selects, each once, sorted by their names", async () => {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  const put = (object: KubeObject): unknown => kube.put(resources.clusterRoles, object);
  const selector = { matchLabels: { aggregate: "true" } };
  put({ metadata: { name: "all" }, aggregationRule: { clusterRoleSelectors: [selector] }, rules: [] });
  put(role("b", { aggregate: "true" }, [get, list]));
  put(role("a", { aggregate: "true" }, [list]));
  put(role("other", {}, [{ ...get, resources: ["secrets"] }]));
  await using _aggregation = startClusterRoleAggregation({ kube, clock, log: silentLog() });
  const rulesOf = (name: string): unknown => kube.peek(resources.clusterRoles, name)?.["rules"];
  await eventually(2_000, async () => expect(rulesOf("all")).toEqual([list, get]));
  put(role("a", {}, [list]));
  put(role("b", { aggregate: "true" }, [get]));
  await eventually(2_000, async () => expect(rulesOf("all")).toEqual([get]));
  await kube.remove(resources.clusterRoles, { name: "b" });
  await eventually(2_000, async () => expect(rulesOf("all")).toEqual([]));
});
