import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { seeded } from "#internal/test/support/seeded.ts";

const template = (app: string, spec: object): object => ({ metadata: { labels: { app } }, spec });

function withCommand(script: string, mounts: readonly object[] = []): object {
  const [main] = podSpec()["containers"] as Record<string, unknown>[];
  return {
    ...podSpec(),
    terminationGracePeriodSeconds: 1,
    containers: [{ ...main, command: ["/bin/busybox", "sh", "-c", script], volumeMounts: mounts }],
  };
}

function storageClass(path: string): object {
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "here" },
    provisioner: "kubeedge.io/local-path",
    parameters: { path },
    volumeBindingMode: "WaitForFirstConsumer",
  };
}

const claim = {
  metadata: { name: "data" },
  spec: {
    storageClassName: "here",
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Mi" } },
  },
};

/** Each pod adds its name to a file of its claim when it starts. */
function statefulSet(replicas: number): object {
  const script = "echo $HOSTNAME >> /data/log; exec /bin/busybox sleep 1000";
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "db" },
    spec: {
      replicas,
      serviceName: "db",
      podManagementPolicy: "Parallel",
      selector: { matchLabels: { app: "db" } },
      template: template("db", withCommand(script, [{ name: "data", mountPath: "/data" }])),
      volumeClaimTemplates: [claim],
    },
  };
}

function daemonSet(revision: number): object {
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "agent" },
    spec: {
      selector: { matchLabels: { app: "agent" } },
      template: template("agent", withCommand(`exec /bin/busybox sleep 100${revision}`)),
    },
  };
}

async function names(pair: Pair, kind: string, selector = ""): Promise<string[]> {
  const words = selector === "" ? [] : ["-l", selector];
  const text = await pair.kubectl("get", kind, ...words, "-o", "jsonpath={.items[*].metadata.name}");
  return text.split(" ").filter(Boolean).toSorted();
}

test.skipIf(!hasPair())(
  "DaemonSets, StatefulSets and claims are neither made twice nor lost when cloudcore is killed at any moment",
  async () => {
    const path = mkdtempSync(join(tmpdir(), "kubeedge-storage-"));
    using _folder = { [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
    await using pair = await startPair();
    await pair.apply(storageClass(path));
    const random = seeded(11);
    const killSoon = async (): Promise<void> => {
      // Any moment will do: it is the seed that makes it the same one in each run.
      await Bun.sleep(random() * 120);
      await pair.killCloud();
      await pair.startCloud();
    };
    for (const step of [1, 2, 3]) {
      await pair.apply(statefulSet(step), daemonSet(step));
      await killSoon();
      await killSoon();
    }
    await pair.ready();
    await pair.kubectl("rollout", "status", "statefulset/db", "--timeout=60s");
    await pair.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s");
    expect(await names(pair, "pods", "app=db")).toEqual(["db-0", "db-1", "db-2"]);
    expect(await names(pair, "pvc")).toEqual(["data-db-0", "data-db-1", "data-db-2"]);
    expect(await names(pair, "pv")).toHaveLength(3);
    expect(await names(pair, "pods", "app=agent")).toHaveLength(1);
    expect(
      (await names(pair, "controllerrevisions")).filter((name) => name.startsWith("agent-")),
    ).toHaveLength(3);

    await pair.kubectl("delete", "pod", "db-1", "--wait=false");
    const log = (): string => {
      const folder = readdirSync(path).find((name) => name.endsWith("_default_data-db-1")) ?? "none";
      return readFileSync(join(path, folder, "log"), "utf8");
    };
    await until(20_000, () => log().split("db-1").length > 2 || `the next pod has not written: ${log()}`);
    await pair.kubectl("delete", "statefulset,daemonset", "--all");
    await pair.kubectl("delete", "pvc", "--all", "--timeout=20s");
    await until(20_000, async () => (await names(pair, "pv")).length === 0 || "a volume is left");
  },
  180_000,
);
