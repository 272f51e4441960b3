import { test } from "bun:test";
import { docker } from "#internal/test/support/machine/container-engine.ts";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";

function pod(name: string, spec: Record<string, unknown>): Record<string, unknown> {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default" }, spec };
}

function config(kind: "ConfigMap" | "Secret", name: string): Record<string, unknown> {
  const values = { key: "value" };
  return {
    apiVersion: "v1",
    kind,
    metadata: { name },
    ...(kind === "Secret" ? { stringData: values } : { data: values }),
  };
}

const readsBoth = (node: string): Record<string, unknown> => ({
  ...podSpec(node),
  volumes: [
    { name: "config", configMap: { name: "settings", optional: true } },
    { name: "secret", secret: { secretName: "password", optional: true } },
  ],
});

function stored(pair: Pair, name: string): string[] {
  return pair.rows(`SELECT key FROM meta WHERE key LIKE '%/${name}'`);
}

test.skipIf(!hasPair())(
  "objects deleted while the edge was stopped go when it is back",
  async () => {
    await using pair = await startPair();
    await pair.apply(
      config("ConfigMap", "settings"),
      config("Secret", "password"),
      pod("goes", podSpec(pair.node)),
      pod("stays", readsBoth(pair.node)),
    );
    await pair.kubectl("wait", "--for=condition=Ready", "pod/goes", "pod/stays", "--timeout=30s");
    await until(5000, () => stored(pair, "settings").length === 1 || "the ConfigMap is not stored");

    await pair.killEdge();
    await pair.kubectl("delete", "pod/goes", "configmap/settings", "secret/password", "--wait=false");
    await pair.startEdge();

    await pair.kubectl("wait", "--for=delete", "pod/goes", "--timeout=20s");
    await until(15_000, () => pair.containers("name=_goes_").length === 0 || "the pod's containers are left");
    await until(15_000, () => {
      const left = ["goes", "settings", "password"].flatMap((name) => stored(pair, name));
      return left.length === 0 || `still stored: ${left.join(" ")}`;
    });
    await until(
      5000,
      () => pair.containers("name=_stays_", "status=running").length === 2 || "the other pod suffers",
    );
  },
  60_000,
);

test.skipIf(!hasPair())(
  "a pod deleted by force while its node was offline ends when the node is back",
  async () => {
    await using pair = await startPair();
    await pair.apply(pod("goes", podSpec(pair.node)));
    await pair.kubectl("wait", "--for=condition=Ready", "pod/goes", "--timeout=30s");

    pair.link.cut({ refuse: true });
    await pair.kubectl("delete", "pod/goes", "--force", "--grace-period=0");
    docker("inspect", ...pair.containers("status=running"));
    pair.link.restore();

    await until(20_000, () => pair.containers().length === 0 || "the pod's containers are left");
    await until(5000, () => stored(pair, "goes").length === 0 || "the pod is still stored");
    await pair.outboxEmpty();
  },
  60_000,
);
