import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eventually, freePorts } from "#internal/scripts/service.ts";
import { busyboxImage, docker, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import {
  edgedWorld,
  idle,
  inPod,
  isRunning,
  podOf,
  shell,
  type EdgedWorld,
} from "#internal/test/support/edge/edged-world.ts";
import type { ContainerStatus, Pod, PodSpec } from "#shared/kube";

const owner = `ordinary-${process.pid}`;
const image = `kubeedge-ordinary-${process.pid}:1`;
setDefaultTimeout(60_000);

async function run({ edge }: EdgedWorld, pod: Pod): Promise<void> {
  await edge.apply(pod);
  await edge.until(`${pod.metadata.name} runs`, () => isRunning(edge, pod));
}

async function remove({ edge }: EdgedWorld, pod: Pod): Promise<void> {
  const deletion = { deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 5 };
  await edge.apply({ ...pod, metadata: { ...pod.metadata, ...deletion } });
  await edge.until(`end of ${pod.metadata.name}`, () => edge.terminated.length === 1);
}

function idlePod(name: string, spec: Partial<PodSpec> = {}, container = {}): Pod {
  return podOf(name, { containers: [shell(image, idle, container)], ...spec });
}

/** What Kubernetes' conformance tests of sig-node and sig-storage check. */
describe.skipIf(!hasEngine())("an ordinary pod", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("sees its labels and annotations change, and an optional source appear", async () => {
    await using at = await edgedWorld(owner);
    const items = ["labels", "annotations"].map((path) => ({
      path,
      fieldRef: { fieldPath: `metadata.${path}` },
    }));
    const volumes = [
      {
        name: "v",
        projected: { sources: [{ downwardAPI: { items } }, { configMap: { name: "late", optional: true } }] },
      },
    ];
    const plain = idlePod("marked", { volumes }, { volumeMounts: [{ name: "v", mountPath: "/v" }] });
    const marked = (value: string): Pod => {
      const marks = { labels: { a: value }, annotations: { b: value } };
      return { ...plain, metadata: { ...plain.metadata, ...marks } };
    };
    await run(at, marked("one"));
    const read = (): string => inPod(plain, "c", "cd /v && cat labels annotations; ls");
    expect(read()).toBe('a="one"b="one"annotations\nlabels');
    await at.edge.apply(marked("two"));
    await at.edge.configure("configmap", "late", {
      metadata: { name: "late", namespace: "default" },
      data: { x: "1" },
    });
    await eventually(10_000, async () => expect(read()).toBe('a="two"b="two"annotations\nlabels\nx'));
  });

  test("has its aliases in /etc/hosts, also in the host's network, and its name with its domain", async () => {
    await using at = await edgedWorld(owner);
    const hostAliases = [{ ip: "192.0.2.77", hostnames: ["db", "db.example"] }];
    const own = idlePod("own", { hostAliases, subdomain: "store", setHostnameAsFQDN: true });
    const host = idlePod("host", { hostAliases, hostNetwork: true });
    await run(at, own);
    await run(at, host);
    for (const pod of [own, host])
      expect(inPod(pod, "c", "grep 192.0.2.77 /etc/hosts")).toBe("192.0.2.77\tdb\tdb.example");
    expect(inPod(own, "c", "hostname")).toBe("own.store.default.svc.cluster.local");
  });

  test("shares a host port with pods of another address or protocol, and with no other", async () => {
    await using at = await edgedWorld(owner);
    const [hostPort = 0] = freePorts(1);
    const withPort = (name: string, hostIP: string, protocol: string): Pod =>
      idlePod(name, {}, { ports: [{ containerPort: 80, hostPort, hostIP, protocol }] });
    await run(at, withPort("first", "127.0.0.1", "TCP"));
    await run(at, withPort("address", "127.0.0.2", "TCP"));
    await run(at, withPort("protocol", "127.0.0.1", "UDP"));
    const other = withPort("other", "127.0.0.1", "TCP");
    await at.edge.apply(other);
    await at.edge.until("a refusal", () => at.edge.status(other.metadata.uid ?? "")?.phase === "Failed");
    expect(at.edge.status(other.metadata.uid ?? "")?.reason).toBe("NodePorts");
  });

  test("gives its volumes to its group", async () => {
    await using at = await edgedWorld(owner);
    await at.edge.configure("configmap", "page", {
      metadata: { name: "page", namespace: "default" },
      data: { x: "1" },
    });
    const volumes = [
      { name: "e", emptyDir: {} },
      { name: "m", emptyDir: { medium: "Memory" } },
      { name: "p", projected: { sources: [{ configMap: { name: "page" } }], defaultMode: 0o440 } },
    ];
    const volumeMounts = volumes.map(({ name }) => ({ name, mountPath: `/${name}` }));
    const securityContext = { runAsUser: 1001, fsGroup: 2002 };
    const pod = idlePod("grouped", { volumes, securityContext }, { volumeMounts });
    await run(at, pod);
    expect(
      inPod(
        pod,
        "c",
        "stat -c '%g %a' /e /m; stat -Lc '%g %a' /p/x; touch /e/f /m/f; stat -c %g /e/f /m/f; cat /p/x",
      ).split("\n"),
    ).toEqual(["2002 2777", "2002 2777", "2002 440", "2002", "2002", "1"]);
    await remove(at, pod);
  });

  test("shows its containers as PodInitializing while an init container runs", async () => {
    await using at = await edgedWorld(owner);
    const pod = idlePod("initial", {
      initContainers: [shell(image, "until [ -e /tmp/go ]; do sleep 0.1; done", { name: "first" })],
    });
    await at.edge.apply(pod);
    const status = () => at.edge.status(pod.metadata.uid ?? "");
    await at.edge.until(
      "the init container",
      () => status()?.initContainerStatuses?.[0]?.state?.running !== undefined,
    );
    expect([status()?.phase, status()?.containerStatuses?.[0]?.state]).toEqual([
      "Pending",
      { waiting: { reason: "PodInitializing" } },
    ]);
    inPod(pod, "first", "touch /tmp/go");
    await at.edge.until("the pod", () => isRunning(at.edge, pod));
    expect(status()?.initContainerStatuses?.[0]?.state?.terminated?.reason).toBe("Completed");
  });

  test("runs its hooks, and an ephemeral container that sees its processes", async () => {
    await using at = await edgedWorld(owner);
    const volumes = [{ name: "v", hostPath: { path: at.dataDir } }];
    const write = (text: string) => ({ exec: { command: ["sh", "-c", `echo ${text} >> /v/hooks`] } });
    const pod = idlePod(
      "hooked",
      { volumes, terminationGracePeriodSeconds: 5 },
      {
        volumeMounts: [{ name: "v", mountPath: "/v" }],
        lifecycle: { postStart: write("start"), preStop: write("stop") },
      },
    );
    await run(at, pod);
    const debug = { ...shell(image, idle, { name: "debug" }), targetContainerName: "c" };
    const debugged = { ...pod, spec: { ...pod.spec, ephemeralContainers: [debug] } };
    await at.edge.apply(debugged);
    const shown = () => at.edge.status(pod.metadata.uid ?? "")?.ephemeralContainerStatuses?.[0];
    await at.edge.until("the ephemeral container", () => shown()?.state?.running !== undefined);
    expect(inPod(pod, "debug", "ps -o args | grep -c 'sleep 1000'")).not.toBe("0");
    await remove(at, debugged);
    expect(await Bun.file(`${at.dataDir}/hooks`).text()).toBe("start\nstop\n");
  });

  test("counts its restarts on when somebody removes its containers", async () => {
    await using at = await edgedWorld(owner);
    const pod = idlePod("counted");
    const shown = (): ContainerStatus | undefined =>
      at.edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0];
    await run(at, pod);
    const name = (attempt: number): string => `k8s_c_counted_default_${pod.metadata.uid}_${attempt}`;
    for (const attempt of [0, 1]) {
      docker("rm", "-f", name(attempt));
      await at.edge.until(
        `run ${attempt + 1}`,
        () => shown()?.restartCount === attempt + 1 && shown()?.state?.running !== undefined,
      );
    }
    expect(shown()?.lastState?.terminated?.reason).toBe("ContainerStatusUnknown");
    expect(docker("ps", "-a", "--filter", `name=${name(2)}`, "--format", "{{.Names}}")).toBe(name(2));
  });

  test("is ready once the conditions of its readiness gates are True", async () => {
    await using at = await edgedWorld(owner);
    const pod = idlePod("gated", { readinessGates: [{ conditionType: "example.com/a" }] });
    await run(at, pod);
    const ready = () =>
      at.edge.status(pod.metadata.uid ?? "")?.conditions?.find(({ type }) => type === "Ready");
    expect([ready()?.status, ready()?.reason]).toEqual(["False", "ReadinessGatesNotReady"]);
    await at.edge.apply({ ...pod, status: { conditions: [{ type: "example.com/a", status: "True" }] } });
    await at.edge.until("readiness", () => ready()?.status === "True");
  });
});
