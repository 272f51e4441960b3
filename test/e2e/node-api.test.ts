import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { eventually, run } from "#internal/scripts/service.ts";
import { inOrder } from "#internal/test/support/in-order.ts";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";

/** kubectl on the node, with the kubeconfig that edgecore wrote for its operator. */
async function onNode(pair: Pair, ...words: readonly string[]): Promise<string> {
  return run([
    "kubectl",
    "--kubeconfig",
    join(pair.edgeDir, "kubeconfig"),
    "--request-timeout=20s",
    ...words,
  ]);
}

const account = "system:serviceaccount:default:reader";
const rules = [
  {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "reader", namespace: "default" },
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata: { name: "reader", namespace: "default" },
    rules: [
      { apiGroups: [""], resources: ["configmaps"], verbs: ["get", "list", "watch"] },
      { apiGroups: [""], resources: ["pods"], verbs: ["get"], resourceNames: ["web"] },
    ],
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "reader", namespace: "default" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" },
    subjects: [{ kind: "ServiceAccount", name: "reader", namespace: "default" }],
  },
];
const configMap = (name: string, data: Record<string, string> = { a: "1" }): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default" },
  data,
});
/** A pod with kubectl, which is a program of client-go. */
const pod = (node: string): object => {
  const { containers, ...spec } = podSpec(node) as { containers: object[] };
  const mount = { name: "kubectl", mountPath: "/bin/kubectl", readOnly: true };
  const path = realpathSync(Bun.which("kubectl") ?? "");
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default", labels: { app: "web" } },
    spec: {
      ...spec,
      serviceAccountName: "reader",
      containers: [{ ...containers[0], volumeMounts: [mount] }],
      volumes: [
        { name: "page", configMap: { name: "page" } },
        { name: "kubectl", hostPath: { path, type: "File" } },
      ],
    },
  };
};

describe.skipIf(!hasPair())("kubectl on a node", () => {
  let pair: Pair;
  let token: string;

  beforeAll(async () => {
    pair = await startPair();
    await pair.apply(...rules, configMap("page"), configMap("elsewhere"));
    await pair.apply(pod(pair.node));
    await pair.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s");
    const { metadata } = JSON.parse(await pair.kubectl("get", "pod", "web", "-o", "json")) as {
      metadata: { uid: string };
    };
    const bound = [
      "--bound-object-kind=Pod",
      "--bound-object-name=web",
      `--bound-object-uid=${metadata.uid}`,
    ];
    token = (await pair.kubectl("create", "token", "reader", ...bound)).trim();
    // What the account may do is on the node once it was asked for.
    await until(
      20_000,
      () => pair.rows("SELECT key FROM meta WHERE type = 'accountrules'").length > 0 || "no rules",
    );
  }, 120_000);
  afterAll(() => pair[Symbol.asyncDispose]());

  const asPod = (...words: readonly string[]): Promise<string> => onNode(pair, `--token=${token}`, ...words);

  test("kubectl reads, writes and is refused as the link and the pod allow", async () => {
    const steps = inOrder();
    steps.step(
      "reads what the node has with the operator's kubeconfig, which nobody else may read",
      async () => {
        expect(statSync(join(pair.edgeDir, "kubeconfig")).mode & 0o777).toBe(0o600);
        const pods = await onNode(
          pair,
          "get",
          "pods",
          "-l",
          "app=web",
          "--field-selector=status.phase=Running",
        );
        expect(pods).toMatch(/^NAME +READY +STATUS +RESTARTS +AGE\nweb +1\/1 +Running +0 /);
        expect(await onNode(pair, "get", "configmap", "page", "-o", "jsonpath={.data.a}")).toBe("1");
        const nodes = async (): Promise<string> => onNode(pair, "get", "node");
        await eventually(20_000, async () =>
          expect(await nodes()).toMatch(new RegExp(`${pair.node} +Ready `)),
        );
      },
    );

    steps.step("may not write with it, and learns what to use instead", async () => {
      await expect(onNode(pair, "delete", "configmap", "page")).rejects.toThrow("use a token of the API");
    });

    steps.step("has the rights of a token of the API while there is a link", async () => {
      expect(await asPod("get", "configmap", "elsewhere", "-o", "name")).toBe("configmap/elsewhere\n");
      await expect(asPod("get", "secrets")).rejects.toThrow(
        `User "${account}" cannot list resource "secrets"`,
      );
      const admin = `--token=${await adminToken(pair)}`;
      await onNode(pair, admin, "create", "configmap", "made-here", "--from-literal=a=b");
      expect(await pair.kubectl("get", "configmap", "made-here", "-o", "jsonpath={.data.a}")).toBe("b");
      await onNode(pair, admin, "label", "configmap", "made-here", "x=y");
      await onNode(pair, admin, "delete", "configmap", "made-here");
    });

    steps.step("explains fields with the documents of the API", async () => {
      await eventually(20_000, async () =>
        expect(await onNode(pair, "explain", "pod.spec.containers")).toContain("FIELDS:"),
      );
    });

    steps.step(
      "reads with the rights of its account while the link is down, and gets 503 for changes",
      async () => {
        pair.link.cut({ refuse: true });
        try {
          await until(20_000, async () => (await sourceOf(pair, token)) === "node" || "still the cloud");
          expect(await onNode(pair, "explain", "configmap.data")).toContain(
            "FIELD: data <map[string]string>",
          );
          const maps = await asPod("get", "configmaps");
          expect(maps).toMatch(/^page +1 /m);
          expect(maps).not.toContain("elsewhere");
          expect(await asPod("get", "pod", "web", "-o", "jsonpath={.status.phase}")).toBe("Running");
          await expect(asPod("get", "pods")).rejects.toThrow("cannot list");
          await expect(asPod("get", "secrets")).rejects.toThrow("cannot list");
          await expect(asPod("get", "configmaps", "-A")).rejects.toThrow("cannot list");
          await expect(asPod("get", "configmaps", "-n", "kube-system")).rejects.toThrow("cannot list");
          await expect(asPod("delete", "configmap", "page")).rejects.toThrow("changes are made there");
          await expect(onNode(pair, "--token=of-nobody", "get", "configmaps")).rejects.toThrow(
            "Unauthorized",
          );
        } finally {
          pair.link.restore();
        }
        await pair.ready();
        await until(20_000, async () => (await sourceOf(pair, token)) === "cloud" || "still the node");
      },
    );

    steps.step("works inside a pod with in-cluster configuration, link or not", async () => {
      const [container = ""] = pair.containers("label=io.kubernetes.container.name=main");
      const maps = (): Promise<string> =>
        run(["docker", "exec", container, "/bin/kubectl", "get", "configmaps", "-o", "name"]);
      await eventually(20_000, async () => expect(await maps()).toContain("configmap/elsewhere"));
      pair.link.cut({ refuse: true });
      try {
        await until(20_000, async () => (await sourceOf(pair, token)) === "node" || "still the cloud");
        expect(await maps()).toBe("configmap/kube-root-ca.crt\nconfigmap/page\n");
      } finally {
        pair.link.restore();
      }
      await until(20_000, async () => (await sourceOf(pair, token)) === "cloud" || "still the node");
    });

    steps.step("keeps its container's token out once the pod is gone, link or not", async () => {
      await pair.kubectl("delete", "pod", "web", "--wait=true", "--timeout=60s");
      await expect(asPod("get", "configmaps")).rejects.toThrow(/Unauthorized|must be logged in/);
      pair.link.cut({ refuse: true });
      try {
        await until(20_000, async () => (await sourceOf(pair, token)) === "node" || "still the cloud");
        await expect(asPod("get", "configmaps")).rejects.toThrow("is not on this node");
      } finally {
        pair.link.restore();
      }
    });
    await steps.run();
  }, 180_000);
});

/** Which side answers now. */
async function sourceOf(pair: Pair, token: string): Promise<string | null> {
  const { server, ca } = await placeOf(pair);
  const init = { headers: { authorization: `Bearer ${token}` }, tls: { ca } } as RequestInit;
  const response = await fetch(`${server}/api/v1/namespaces/default/configmaps`, init);
  await response.text();
  return response.headers.get("kubeedge-source");
}

async function placeOf(pair: Pair): Promise<{ readonly server: string; readonly ca: string }> {
  const { clusters } = (await Bun.file(join(pair.edgeDir, "kubeconfig")).json()) as {
    clusters: [{ cluster: { server: string; "certificate-authority-data": string } }];
  };
  const { server, "certificate-authority-data": data } = clusters[0].cluster;
  return { server, ca: Buffer.from(data, "base64").toString() };
}

async function adminToken(pair: Pair): Promise<string> {
  return pair.kubectl("config", "view", "--raw", "-o", "jsonpath={.users[0].user.token}");
}
