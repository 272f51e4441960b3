import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { busyboxImage, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { edgedWorld, idle, isRunning, podOf, shell } from "#internal/test/support/edge/edged-world.ts";
import type { Pod, PodSpec } from "#shared/kube";

const owner = `odd-pods-${process.pid}`;
const image = `kubeedge-odd-pods-${process.pid}:1`;
setDefaultTimeout(180_000);

type Odd = readonly [name: string, container: object, spec?: object, message?: RegExp];

const mounts = (...paths: string[]): object => ({
  volumeMounts: paths.map((mountPath) => ({ name: "v", mountPath })),
});
const empty = { volumes: [{ name: "v", emptyDir: {} }] };
const text = (length: number): string => "x".repeat(length);

/** What no API server lets through, or what no engine can do. With a message: an Event says so. */
const odd: readonly Odd[] = [
  ["image-empty", { image: "" }, {}, /image/i],
  ["image-long", { image: text(5000) }, {}, /image|name/i],
  ["image-odd", { image: "UPPER:::" }, {}, /InvalidImageName|invalid reference/i],
  [
    "twice",
    {},
    { containers: [shell(image, idle), shell(image, idle)] },
    /two containers|Duplicate|is called/i,
  ],
  ["volume-twice", mounts("/v"), { volumes: [...empty.volumes, ...empty.volumes] }, /volume/i],
  ["mount-twice", mounts("/v", "/v"), empty, /mount|Duplicate/i],
  ["mount-root", mounts("/"), empty, /./],
  ["mount-proc", mounts("/proc"), empty, /./],
  ["mount-up", mounts("../../etc"), empty],
  ["mount-none", mounts("/v"), {}, /no such volume/],
  ["memory-tiny", { resources: { limits: { memory: "1" } } }, {}, /memory/i],
  ["memory-vast", { resources: { limits: { memory: "1Ei" } } }, {}, /OutOfmemory|memory/i],
  ["cpu-vast", { resources: { limits: { cpu: "1e9" } } }],
  ["cpu-negative", { resources: { limits: { cpu: "-1" } } }, {}, /./],
  ["port-large", { ports: [{ containerPort: 80, hostPort: 99_999 }] }, {}, /port/i],
  ["port-negative", { ports: [{ containerPort: -80, hostPort: -1 }] }, {}, /port/i],
  ["port-address", { ports: [{ containerPort: 80, hostPort: 18_099, hostIP: "no address" }] }, {}, /./],
  ["command-large", { command: ["sh", "-c", text(3_000_000)] }, {}, /./],
  [
    "environment-large",
    { env: Array.from({ length: 3000 }, (_, n) => ({ name: `E${n}`, value: text(1000) })) },
    {},
    /./,
  ],
  ["environment-odd", { env: [{ name: "a=b\u0000c", value: "\u0000" }] }, {}, /./],
  ["directory-odd", { workingDir: "not/absolute" }, {}, /./],
  ["user-vast", { securityContext: { runAsUser: 2 ** 40 } }, {}, /./],
  ["group-negative", mounts("/v"), { ...empty, securityContext: { fsGroup: -5 } }, /./],
  ["groups-vast", {}, { securityContext: { supplementalGroups: [-1, 2 ** 50] } }, /./],
  [
    "probe-port",
    { livenessProbe: { tcpSocket: { port: "none" }, periodSeconds: 1, failureThreshold: 1000 } },
    {},
    /./,
  ],
  ["probe-vast", { livenessProbe: { httpGet: { port: 99_999, path: text(100_000) }, periodSeconds: 1e12 } }],
  [
    "probe-negative",
    { livenessProbe: { exec: { command: ["true"] }, periodSeconds: -5, timeoutSeconds: -1 } },
  ],
  ["probe-nothing", { livenessProbe: { periodSeconds: 1 } }],
  ["message-path", { terminationMessagePath: "/" }, {}, /./],
  ["host-name", {}, { hostname: "a b\u0000" }, /hostname/i],
  ["resolver", {}, { dnsConfig: { nameservers: ["no address"], searches: [text(5000)] } }],
  ["sysctl", {}, { securityContext: { sysctls: [{ name: "../../etc", value: "1" }] } }, /sysctl/i],
  ["aliases", {}, { hostAliases: [{ ip: "1.2.3.4\n5.6.7.8 evil", hostnames: ["a\nb"] }] }],
  ["grace-vast", {}, { terminationGracePeriodSeconds: 1e15 }],
  ["deadline-past", {}, { activeDeadlineSeconds: -5 }, /DeadlineExceeded|deadline/i],
  ["nothing", {}, { containers: [] }, /at least one/],
  ["runtime", {}, { runtimeClassName: "../../x" }, /./],
  [
    "many",
    {},
    {
      containers: Array.from({ length: 150 }, (_, n) =>
        shell(image, idle, { name: `c${n}`, image: "none.invalid/x:1" }),
      ),
    },
    /./,
  ],
];

describe.skipIf(!hasEngine())("pods that nobody can run", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("get an Event each, and another pod runs on beside them, with its probes", async () => {
    await using at = await edgedWorld(owner);
    const probe = {
      exec: { command: ["true"] },
      periodSeconds: 1,
      failureThreshold: 2,
      timeoutSeconds: 20,
    };
    const good = (name: string): Pod =>
      podOf(name, { containers: [shell(image, idle, { livenessProbe: probe, readinessProbe: probe })] });
    const before = good("before");
    await at.edge.apply(before);
    await at.edge.until("a pod", () => isRunning(at.edge, before));
    const pods = odd.map(([name, container, spec = {}]) =>
      podOf(`odd-${name}`, {
        containers: [shell(image, idle, { imagePullPolicy: "IfNotPresent", ...container })],
        ...(spec as Partial<PodSpec>),
      }),
    );
    for (const pod of pods) await at.edge.apply(pod);
    const messages = (pod: Pod): string[] =>
      at.edge.events
        .filter(
          ({ involvedObject, type, reason }) =>
            involvedObject.name === pod.metadata.name &&
            (type === "Warning" || reason === "DeadlineExceeded"),
        )
        .map(({ reason, message }) => `${reason}: ${message}`);
    const silent = (): string[] =>
      odd.flatMap(([name, , , wanted], index) => {
        const pod = pods[index];
        if (!pod || isRunning(at.edge, pod)) return [];
        const said = messages(pod);
        return said.some((one) => (wanted ?? /./).test(one))
          ? []
          : [`${name}: ${said.join(" | ").slice(0, 300)}`];
      });
    await at.edge.until("an Event of each", () => silent().length === 0).catch(() => undefined);
    expect(silent()).toEqual([]);
    const after = good("after");
    await at.edge.apply(after);
    await at.edge.until("a pod after them", () => isRunning(at.edge, after));
    const status = at.edge.status(before.metadata.uid ?? "");
    expect([status?.containerStatuses?.[0]?.restartCount, status?.containerStatuses?.[0]?.ready]).toEqual([
      0,
      true,
    ]);
    expect(at.edge.errors).toEqual([]);
    for (const pod of pods)
      await at.edge.apply({
        ...pod,
        metadata: {
          ...pod.metadata,
          deletionTimestamp: "2026-01-01T00:00:00Z",
          deletionGracePeriodSeconds: 0,
        },
      });
    const left = (): string[] =>
      pods
        .filter(({ metadata: { uid } }) => !at.edge.terminated.some((one) => one.uid === uid))
        .map(({ metadata }) => metadata.name ?? "");
    await at.edge.until("their end", () => left().length === 0).catch(() => undefined);
    expect(left()).toEqual([]);
  });
});
