import * as fc from "fast-check";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";
import { asRecord, isRecord } from "#shared/json";
import type { Pod } from "#shared/kube";

const probe = { periodSeconds: 5, initialDelaySeconds: 1, failureThreshold: 2, timeoutSeconds: 1 };
const action = { exec: { command: ["true"] } };
const container = {
  name: "c",
  image: "app:1",
  imagePullPolicy: "IfNotPresent",
  command: ["run", "$(A)"],
  args: ["x"],
  workingDir: "/work",
  env: [
    { name: "A", value: "1" },
    { name: "B", valueFrom: { configMapKeyRef: { name: "page", key: "a" } } },
    { name: "C", valueFrom: { secretKeyRef: { name: "cred", key: "b", optional: true } } },
    { name: "D", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    { name: "E", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
  ],
  envFrom: [
    { prefix: "P_", configMapRef: { name: "page" } },
    { secretRef: { name: "cred", optional: true } },
  ],
  ports: [{ name: "web", containerPort: 80, hostPort: 8080, hostIP: "127.0.0.1", protocol: "TCP" }],
  resources: { limits: { cpu: "1", memory: "64Mi" }, requests: { cpu: "10m", "ephemeral-storage": "1Mi" } },
  volumeMounts: [
    {
      name: "empty",
      mountPath: "/e",
      readOnly: true,
      mountPropagation: "None",
      recursiveReadOnly: "IfPossible",
    },
    { name: "map", mountPath: "/m" },
    { name: "all", mountPath: "/all" },
  ],
  livenessProbe: { ...probe, ...action },
  readinessProbe: { ...probe, ...action },
  startupProbe: { ...probe, ...action, terminationGracePeriodSeconds: 1 },
  lifecycle: { postStart: action, preStop: { sleep: { seconds: 1 } } },
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "FallbackToLogsOnError",
  securityContext: { runAsUser: 1, privileged: false, capabilities: { add: ["KILL"], drop: ["ALL"] } },
  resizePolicy: [{ resourceName: "memory", restartPolicy: "RestartContainer" }],
  stdin: true,
  tty: false,
};

const base = {
  metadata: {
    name: "odd",
    namespace: "default",
    uid: "uid-odd",
    labels: { a: "b" },
    annotations: { c: "d" },
  },
  spec: {
    nodeName: "edge-1",
    nodeSelector: {},
    hostNetwork: false,
    hostname: "h",
    subdomain: "s",
    setHostnameAsFQDN: true,
    readinessGates: [{ conditionType: "a/b" }],
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 1,
    activeDeadlineSeconds: 100,
    dnsPolicy: "ClusterFirst",
    dnsConfig: { nameservers: ["1.1.1.1"], searches: ["a"], options: [{ name: "ndots", value: "2" }] },
    hostAliases: [{ ip: "1.2.3.4", hostnames: ["x"] }],
    serviceAccountName: "default",
    imagePullSecrets: [{ name: "cred" }],
    enableServiceLinks: true,
    tolerations: [{ key: "a", operator: "Exists", effect: "NoExecute", tolerationSeconds: 5 }],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: "x", operator: "DoesNotExist", values: ["y"] }] }],
        },
      },
    },
    overhead: { cpu: "1m" },
    priority: 0,
    containers: [container],
    initContainers: [{ name: "i", image: "app:1", restartPolicy: "Always", env: [{ name: "A" }] }],
    ephemeralContainers: [{ name: "e", image: "app:1", targetContainerName: "c" }],
    volumes: [
      { name: "empty", emptyDir: { medium: "", sizeLimit: "1Mi" } },
      {
        name: "map",
        configMap: { name: "page", items: [{ key: "a", path: "p", mode: 256 }], defaultMode: 420 },
      },
      {
        name: "all",
        projected: {
          defaultMode: 420,
          sources: [
            { configMap: { name: "page" } },
            { secret: { name: "cred", optional: true, items: [{ key: "k", path: "s" }] } },
            { downwardAPI: { items: [{ path: "l", fieldRef: { fieldPath: "metadata.labels" } }] } },
          ],
        },
      },
      { name: "claim", persistentVolumeClaim: { claimName: "data", readOnly: false } },
    ],
    securityContext: {
      fsGroup: 5,
      supplementalGroups: [6],
      runAsNonRoot: true,
      sysctls: [{ name: "net.ipv4.tcp_syncookies", value: "1" }],
      seccompProfile: { type: "RuntimeDefault" },
    },
  },
  status: {
    conditions: [{ type: "a/b", status: "True" }],
    startTime: "2026-01-01T00:00:00Z",
    containerStatuses: [
      {
        name: "c",
        state: { running: { startedAt: "2026-01-01T00:00:00Z" } },
        lastState: {},
        ready: true,
        restartCount: 1,
        image: "app:1",
        imageID: "",
        containerID: "fake://1",
        resources: { limits: { cpu: "1" }, requests: { cpu: "10m" } },
        allocatedResources: { cpu: "10m" },
      },
    ],
    initContainerStatuses: [{ name: "i", ready: false, restartCount: 0, image: "app:1", imageID: "" }],
  },
};

type Path = readonly (string | number)[];

function pathsOf(value: unknown, path: Path = []): Path[] {
  const entries = Array.isArray(value) ? [...value.entries()] : isRecord(value) ? Object.entries(value) : [];
  return entries.flatMap(([key, inner]) => [[...path, key], ...pathsOf(inner, [...path, key])]);
}

/** Who it is stays: another pod would be another matter. */
const identity = ["metadata", "metadata.name", "metadata.namespace", "metadata.uid"];
const paths = pathsOf(base).filter((path) => !identity.includes(path.join(".")));

const odd = fc.oneof(
  fc.constantFrom<unknown>(undefined, null, "", 0, -1, 1.5, 2 ** 53, true, false, [], {}, [null], [{}], [""]),
  fc.constantFrom<unknown>(
    "../..",
    "/",
    "a b",
    "a\u0000b",
    "é",
    "__proto__",
    "9".repeat(400),
    "1e999",
    "-1Gi",
    "Never",
  ),
  fc.constantFrom<unknown>({ "": "" }, { cpu: "x" }, { name: "x" }, [[]], "$(B)", "999.999.999.999", 65_536),
  fc.jsonValue({ maxDepth: 2 }),
);

type Mutation = readonly [Path, unknown];
const mutation: fc.Arbitrary<Mutation> = fc.tuple(fc.constantFrom(...paths), odd);

function mutated(mutations: readonly Mutation[]): Pod {
  const pod: unknown = structuredClone(base);
  for (const [path, given] of mutations) {
    const value: unknown = structuredClone(given);
    const parent = path
      .slice(0, -1)
      .reduce<unknown>(
        (at, key) => asRecord(at)?.[String(key)] ?? (Array.isArray(at) ? at[Number(key)] : undefined),
        pod,
      );
    const last = path.at(-1) ?? "";
    if (Array.isArray(parent)) parent[Number(last)] = value;
    else if (isRecord(parent)) parent[String(last)] = value;
  }
  // As it comes over the wire.
  return JSON.parse(JSON.stringify(pod)) as Pod;
}

function goodPod(name: string): Pod {
  return {
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: "app:1" }] },
  };
}

fuzz("pods of any shape", () =>
  fc.asyncProperty(
    fc.array(mutation, { minLength: 1, maxLength: 3 }),
    fc.boolean(),
    async (mutations, isUpdate) => {
      using dir = tempDir("fuzz-pods");
      const clock = new FakeClock();
      const runtime = new FakeRuntime(clock);
      runtime.addImage("app:1");
      await using edge = new EdgedHarness();
      edge.objects.set("default/configmap/page", { metadata: { name: "page" }, data: { a: "1" } });
      await edge.start(runtime, clock, { dataDir: dir.path });
      const isRunning = (name: string): boolean => edge.status(`uid-${name}`)?.phase === "Running";
      await edge.apply(goodPod("before"));
      await clock.advance(1000);
      const pod = mutated(mutations);
      if (isUpdate) {
        await edge.apply(mutated([]));
        await clock.advance(5000);
      }
      await edge.apply(pod);
      await clock.advance(20_000);
      await edge.apply(goodPod("after"));
      await clock.advance(20_000);
      const fail = (what: string): never => {
        throw new Error(
          `${what}\n${JSON.stringify(edge.events.map((one) => one.message))}\n${edge.log.lines.join("\n")}`,
        );
      };
      if (edge.errors.length > 0) fail(`errors: ${edge.errors.join()}`);
      if (!isRunning("before") || !isRunning("after")) fail("another pod suffers");
      const warnings = edge.events.filter(({ type }) => type === "Warning");
      if (warnings.some(({ involvedObject }) => !["odd", "edge-1"].includes(involvedObject.name ?? "")))
        fail("an Event of another");
      const isExplained = warnings.length > 0 || edge.reasons().includes("DeadlineExceeded");
      if (!isRunning("odd") && !isExplained) fail("no Event says why the pod does not run");
      const deletion = { deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0 };
      await edge.apply({ ...pod, metadata: { ...pod.metadata, ...deletion } });
      await clock.advance(60_000);
      if (!edge.terminated.some(({ uid }) => uid === "uid-odd")) fail("the pod is never removed");
      if (existsSync(join(dir.path, "pods/uid-odd"))) fail("its files are left");
      if (runtime.specs().some(({ identity }) => identity.podUid === "uid-odd"))
        fail("its containers are left");
    },
  ),
);
