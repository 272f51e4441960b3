import { expect, test } from "bun:test";
import { docker } from "#internal/test/support/machine/container-engine.ts";
import { deployment, hasPair, measure, podSpec, startPair, until } from "#internal/test/support/pair.ts";

const mains = "label=io.kubernetes.container.name=main";

test.skipIf(!hasPair())(
  "a node without its cloud keeps its containers over kill -9 and converges when the cloud is back",
  async () => {
    await using pair = await startPair();
    await pair.apply(deployment("stays", podSpec()), deployment("goes", podSpec()));
    await pair.kubectl(
      "wait",
      "--for=condition=Available",
      "deployment/stays",
      "deployment/goes",
      "--timeout=30s",
    );
    const before = pair.containers();

    pair.link.cut({ refuse: true });
    await pair.kubectl("scale", "deployment/goes", "--replicas=0");
    await pair.killCloud();
    await pair.killEdge();
    await pair.startEdge();
    await until(10_000, () => pair.edgeLog().includes('"msg":"running"') || "edgecore does not start");
    const [killed = ""] = pair.containers(mains, "label=io.kubernetes.pod.namespace=default", "name=_stays-");
    docker("kill", killed);
    const revived = await measure(
      until(20_000, () => {
        const running = pair.containers(mains, "status=running");
        return (running.length === 2 && !running.includes(killed)) || "the killed container is not back";
      }),
    );
    const kept = before.filter((id) => id !== killed);
    expect(pair.containers().filter((id) => before.includes(id) && id !== killed)).toEqual(kept);
    expect(pair.containers("status=running")).toHaveLength(4);

    await pair.startCloud();
    pair.link.restore();
    const back = await measure(pair.ready());
    const scaled = await measure(
      until(20_000, () => pair.containers("name=_goes-").length === 0 || "the scaled pod is still there"),
    );
    await until(15_000, async () => {
      const path = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
      const restarts = await pair.kubectl("get", "pods", "-l", "app=stays", "-o", path);
      return restarts === "1" || `restarts: ${restarts}`;
    });
    await pair.outboxEmpty();
    console.log(
      `container back ${Math.round(revived)} ms after kill, Ready ${Math.round(back)} ms after the cloud, scale to 0 after ${Math.round(scaled)} ms more`,
    );
  },
  60_000,
);

test.skipIf(!hasPair())(
  "a node whose disk was lost has its pods, what they read and its devices again",
  async () => {
    await using pair = await startPair();
    const apiVersion = "devices.kubeedge.io/v1beta1";
    const page = { name: "page", configMap: { name: "page" } };
    const spec = {
      ...podSpec(),
      volumes: [page],
      containers: (podSpec()["containers"] as object[]).map((container) => ({
        ...container,
        volumeMounts: [{ name: "page", mountPath: "/page" }],
      })),
    };
    await pair.apply(
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "page" }, data: { text: "from the cloud" } },
      deployment("web", spec),
      {
        apiVersion,
        kind: "DeviceModel",
        metadata: { name: "thermo" },
        spec: { properties: [{ name: "target", type: "FLOAT", accessMode: "ReadWrite" }] },
      },
      {
        apiVersion,
        kind: "Device",
        metadata: { name: "hall" },
        spec: {
          deviceModelRef: { name: "thermo" },
          nodeName: pair.node,
          properties: [{ name: "target", desired: { value: "21" } }],
        },
      },
    );
    await pair.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s");
    const desired = (): string[] => pair.rows("SELECT desired FROM device_twin WHERE name = 'target'");
    await until(10_000, () => desired().length === 1 || "the node does not know the device");
    const before = desired();

    await pair.loseEdgeDisk();
    await pair.startEdge();
    await until(30_000, () => {
      const running = pair.containers(mains, "status=running");
      return running.length === 1 || `${running.length} containers run`;
    });
    const [container = ""] = pair.containers(mains, "status=running");
    expect(docker("exec", container, "/bin/busybox", "cat", "/page/text")).toBe("from the cloud");
    await until(20_000, () => desired().length === 1 || "the node does not know the device again");
    expect(desired()).toEqual(before);
  },
  90_000,
);
