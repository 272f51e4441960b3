import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";

interface Wanted {
  readonly script: string;
  readonly hostPort?: number;
  readonly claim?: string;
}

function podOf(name: string, { script, hostPort, claim }: Wanted): object {
  const [main] = podSpec()["containers"] as Record<string, unknown>[];
  const container = {
    ...main,
    command: ["/bin/busybox", "sh", "-c", script],
    ...(hostPort !== undefined && { ports: [{ containerPort: 80, hostPort }] }),
    ...(claim !== undefined && { volumeMounts: [{ name: "data", mountPath: "/data" }] }),
  };
  const volumes = [{ name: "data", persistentVolumeClaim: { claimName: claim } }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: {
      ...podSpec(),
      terminationGracePeriodSeconds: 1,
      containers: [container],
      ...(claim !== undefined && { volumes, securityContext: { fsGroup: 2345 } }),
    },
  };
}

const get = (pair: Pair, what: string, path: string): Promise<string> =>
  pair.kubectl("get", ...what.split(" "), "--ignore-not-found", "-o", `jsonpath=${path}`);

test.skipIf(!hasPair())(
  "the directory of a claim belongs to the group of its pod, and goes with the claim, also of a node that was offline",
  async () => {
    const path = mkdtempSync(join(tmpdir(), "kubeedge-claims-"));
    using _folder = { [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
    await using pair = await startPair();
    const spec = {
      storageClassName: "here",
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage: "1Mi" } },
    };
    await pair.apply(
      {
        apiVersion: "storage.k8s.io/v1",
        kind: "StorageClass",
        metadata: { name: "here" },
        provisioner: "kubeedge.io/local-path",
        parameters: { path },
        volumeBindingMode: "WaitForFirstConsumer",
      },
      { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "data" }, spec },
      podOf("writer", {
        script: "stat -c %g /data > /data/group; exec /bin/busybox sleep 1000",
        claim: "data",
      }),
    );
    await pair.ready();
    await pair.kubectl("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s");
    const read = (): Promise<string> =>
      pair.kubectl("exec", "writer", "--", "/bin/busybox", "cat", "/data/group");
    await until(30_000, async () => (await read()).trim() === "2345" || "the group is not written");
    await pair.kubectl("delete", "pod", "writer");
    expect(readdirSync(path)).toHaveLength(1);
    pair.link.cut({ refuse: true });
    await pair.kubectl("delete", "pvc", "data", "--timeout=20s");
    await until(
      30_000,
      async () => (await get(pair, "pv", "{.items[*].status.phase}")) === "Released" || "not released",
    );
    await pair.killCloud();
    await pair.startCloud();
    expect(readdirSync(path)).toHaveLength(1);
    pair.link.restore();
    await until(
      60_000,
      async () => (await get(pair, "pv", "{.items[*].metadata.name}")) === "" || "the volume is left",
    );
    expect(readdirSync(path)).toEqual([]);
  },
  240_000,
);

test.skipIf(!hasPair())(
  "a StatefulSet whose host port is taken has its pod replaced until the port is free, and a kill of edgecore changes nothing",
  async () => {
    await using pair = await startPair();
    await pair.ready();
    const script = "exec /bin/busybox sleep 1000";
    await pair.apply(podOf("first", { script, hostPort: 18_231 }));
    await pair.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=60s");
    // Bound by hand: the scheduler would not put it there.
    const { metadata: _name, ...taken } = podOf("", { script, hostPort: 18_231 }) as {
      metadata: object;
      spec: object;
    };
    await pair.apply({
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "db" },
      spec: {
        replicas: 1,
        serviceName: "db",
        selector: { matchLabels: { app: "db" } },
        template: { metadata: { labels: { app: "db" } }, spec: { ...taken.spec, nodeName: pair.node } },
      },
    });
    const uid = (): Promise<string> => get(pair, "pod db-0", "{.metadata.uid}");
    const events = (): Promise<string> => get(pair, "events", "{.items[*].reason}");
    await until(60_000, async () => (await events()).includes("NodePorts") || "it was not refused");
    const refused = await uid();
    await until(60_000, async () => (await uid()) !== refused || "it was not replaced");
    await pair.killEdge();
    await pair.startEdge();
    await pair.ready();
    expect(await get(pair, "pod first", "{.status.phase}")).toBe("Running");
    await pair.kubectl("delete", "pod", "first");
    await pair.kubectl("rollout", "status", "statefulset/db", "--timeout=90s");
    await pair.killEdge();
    await pair.startEdge();
    await pair.ready();
    const before = await uid();
    await pair.kubectl("wait", "--for=condition=Ready", "pod/db-0", "--timeout=60s");
    expect([await uid(), await get(pair, "pod db-0", "{.status.phase}")]).toEqual([before, "Running"]);
  },
  240_000,
);
