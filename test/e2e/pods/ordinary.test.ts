import { expect, test } from "bun:test";
import { docker } from "#internal/test/support/machine/container-engine.ts";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";

function podOf(name: string, spec: object): object {
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { ...podSpec(), ...spec } };
}

function claimOf(name: string): object {
  const spec = {
    storageClassName: "",
    volumeName: name,
    accessModes: ["ReadWriteMany"],
    resources: { requests: { storage: "1Mi" } },
  };
  return { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name }, spec };
}

function volumeOf(name: string, source: object): object {
  const spec = {
    ...source,
    capacity: { storage: "1Mi" },
    accessModes: ["ReadWriteMany"],
    storageClassName: "",
    mountOptions: ["soft"],
  };
  return { apiVersion: "v1", kind: "PersistentVolume", metadata: { name }, spec };
}

const statusOf = (pair: Pair, name: string, path: string): Promise<string> =>
  pair.kubectl("get", "pod", name, "-o", `jsonpath={.status.${path}}`);

function mountEventsOf(pair: Pair, name: string): Promise<string> {
  const selector = `involvedObject.name=${name},reason=FailedMount`;
  const path = "jsonpath={range .items[*]}{.reason}: {.message}\n{end}";
  return pair.kubectl("get", "events", "--field-selector", selector, "-o", path);
}

test.skipIf(!hasPair())(
  "pods with a RuntimeClass and readiness gates become ready, restarts are counted on, and volumes that cannot be had are named",
  async () => {
    await using pair = await startPair();
    const withClaim = (name: string): object =>
      podOf(name, { volumes: [{ name: "data", persistentVolumeClaim: { claimName: name } }] });
    await pair.apply(
      { apiVersion: "node.k8s.io/v1", kind: "RuntimeClass", metadata: { name: "usual" }, handler: "runc" },
      volumeOf("disk", { csi: { driver: "disk.example.com", volumeHandle: "v1" } }),
      claimOf("disk"),
      withClaim("disk"),
      podOf("gated", {
        runtimeClassName: "usual",
        readinessGates: [{ conditionType: "example.com/a" }],
      }),
    );
    await pair.ready();
    const ready = (): Promise<string> => statusOf(pair, "gated", 'conditions[?(@.type=="Ready")].reason');
    await until(
      60_000,
      async () => (await ready()) === "ReadinessGatesNotReady" || "the gate is not waited for",
    );
    const patch = JSON.stringify({ status: { conditions: [{ type: "example.com/a", status: "True" }] } });
    await pair.kubectl("patch", "pod", "gated", "--subresource=status", "--type=strategic", "-p", patch);
    await pair.kubectl("wait", "--for=condition=Ready", "pod/gated", "--timeout=60s");
    expect(await statusOf(pair, "gated", 'conditions[?(@.type=="example.com/a")].status')).toBe("True");

    await until(
      60_000,
      async () => (await mountEventsOf(pair, "disk")) !== "" || "no Event about the volume",
    );
    expect((await mountEventsOf(pair, "disk")).trim()).toBe(
      'FailedMount: MountVolume.SetUp failed for volume "data" : the volume "disk" of persistentvolumeclaim "disk" is of a kind that is not served on this node: csi, driver disk.example.com',
    );

    const restarts = (): Promise<string> => statusOf(pair, "gated", "containerStatuses[0].restartCount");
    const id = async (): Promise<string> =>
      (await statusOf(pair, "gated", "containerStatuses[0].containerID")).replace("docker://", "");
    docker("rm", "-f", await id());
    await until(60_000, async () => (await restarts()) === "1" || "not restarted");
    const second = await id();
    await pair.killEdge();
    docker("rm", "-f", second);
    await pair.startEdge();
    await until(60_000, async () => (await restarts()) === "2" || "not restarted once more");
    await pair.kubectl("wait", "--for=condition=Ready", "pod/gated", "--timeout=60s");
  },
  240_000,
);
