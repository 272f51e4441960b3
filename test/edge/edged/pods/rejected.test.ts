import { expect, test } from "bun:test";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Pod } from "#shared/kube";

const deletion = { deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0 };

/** As a broken peer may send it. */
function podOf(fields: object, container: object = {}): Pod {
  const spec = { containers: [{ name: "c", image: "web:1", ...container }], ...fields };
  return { metadata: { name: "web", namespace: "default", uid: "uid-web" }, spec };
}

async function world() {
  const dir = tempDir();
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  await edge.start(runtime, clock, { dataDir: dir.path });
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, [Symbol.asyncDispose]: dispose };
}

test.each<[string, Pod]>([
  ["spec.containers[0].args: expected a list", podOf({}, { args: "x" })],
  [
    "spec.containers[0].resources.limits: expected an object of quantities",
    podOf({}, { resources: { limits: { cpu: {} } } }),
  ],
  ["spec.hostname: expected a string", podOf({ hostname: 1 })],
  [
    "spec.containers[0].resources.limits: expected an object of quantities",
    podOf({}, { resources: { limits: { memory: "64 MB" } } }),
  ],
  ["spec.restartPolicy: expected one of Always, OnFailure, Never", podOf({ restartPolicy: "Sometimes" })],
  [
    "spec.containers[0].ports[0].protocol: expected one of TCP, UDP, SCTP",
    podOf({}, { ports: [{ containerPort: 80, hostPort: 80, protocol: "QUIC" }] }),
  ],
  ['a container is called "C": expected a DNS label', podOf({ initContainers: [{ name: "C" }] })],
])("a pod that cannot be used gets one Event with %s, and is gone when it is deleted", async (fault, pod) => {
  await using at = await world();
  await at.edge.apply(pod);
  await at.clock.advance(60_000);
  expect(at.edge.events.map(({ reason, message, count }) => [reason, message, count])).toEqual([
    ["FailedValidation", `Error validating pod default/web: ${fault}`, 1],
  ]);
  await at.edge.apply({ ...pod, metadata: { ...pod.metadata, ...deletion } });
  expect([at.edge.terminated, at.edge.errors, at.runtime.specs()]).toEqual([
    [{ namespace: "default", name: "web", uid: "uid-web" }],
    [],
    [],
  ]);
});

test("a pod that runs goes on when it becomes one that cannot be used, and ends when it is deleted", async () => {
  await using at = await world();
  await at.edge.apply(podOf({}));
  await at.clock.advance(1000);
  await at.edge.apply(podOf({ volumes: {} }));
  await at.clock.advance(1000);
  expect([at.edge.status("uid-web")?.phase, at.edge.reasons().at(-1)]).toEqual([
    "Running",
    "FailedValidation",
  ]);
  const bad = podOf({ volumes: {} });
  await at.edge.apply({ ...bad, metadata: { ...bad.metadata, ...deletion } });
  await at.clock.advance(1000);
  expect([at.edge.terminated.length, at.runtime.specs()]).toEqual([1, []]);
});

test("fields of a pod that are null count as absent", async () => {
  await using at = await world();
  await at.edge.apply(
    podOf(
      { ephemeralContainers: null, volumes: null, hostname: null },
      { env: null, resources: { limits: { cpu: null } } },
    ),
  );
  await at.clock.advance(1000);
  expect([at.edge.status("uid-web")?.phase, at.edge.errors]).toEqual(["Running", []]);
});

test("a pod that passes its deadline gets one Event", async () => {
  await using at = await world();
  await at.edge.apply(podOf({ activeDeadlineSeconds: 5 }));
  await at.clock.advance(60_000);
  const told = at.edge.events.filter(({ reason }) => reason === "DeadlineExceeded");
  expect([at.edge.status("uid-web")?.phase, told.map(({ count }) => count)]).toEqual(["Failed", [1]]);
});

test.each<[string, object, object]>([
  ["spec.resourceClaims", { resourceClaims: [{ name: "gpu" }] }, {}],
  ['volumeDevices of container "c"', {}, { volumeDevices: [{ name: "v", devicePath: "/dev/x" }] }],
  [
    'resources.limits.hugepages-2Mi of container "c"',
    {},
    { resources: { limits: { "hugepages-2Mi": "4Mi" } } },
  ],
])("a pod with %s is refused", async (what, spec, container) => {
  await using at = await world();
  await at.edge.apply(podOf(spec, container));
  await at.clock.advance(0);
  const waiting = at.edge.status("uid-web")?.containerStatuses?.[0]?.state?.waiting;
  expect(waiting).toEqual({
    reason: "CreateContainerConfigError",
    message: `${what} is not supported on this node`,
  });
  expect(at.edge.events.map(({ reason, message }) => [reason, message])).toEqual([
    ["FailedCreatePodSandBox", `Failed to create pod sandbox: ${what} is not supported on this node`],
  ]);
});

test("a pod with fields that this node does not know runs, with one Event that names them", async () => {
  await using at = await world();
  const container = {
    restartPolicyRules: [{ action: "Restart" }],
    lifecycle: { stopSignal: "SIGUSR1" },
    newer: "",
  };
  await at.edge.apply(podOf({ hostnameOverride: "other", schedulerName: "mine" }, container));
  await at.clock.advance(60_000);
  const warnings = at.edge.events.filter(({ type }) => type === "Warning");
  expect([
    at.edge.status("uid-web")?.phase,
    warnings.map(({ reason, message, count }) => [reason, message, count]),
  ]).toEqual([
    "Running",
    [
      [
        "FieldsNotApplied",
        "Not applied on this node: spec.hostnameOverride, spec.containers[0].restartPolicyRules, spec.containers[0].lifecycle.stopSignal",
        1,
      ],
    ],
  ]);
});

test("a variable from a source that this node does not know keeps its container from starting", async () => {
  await using at = await world();
  await at.edge.apply(podOf({}, { env: [{ name: "A", valueFrom: { fileKeyRef: { path: "x" } } }] }));
  await at.clock.advance(0);
  expect(at.edge.events.map(({ message }) => message)).toContain(
    'Error: fileKeyRef of variable "A" is not supported on this node',
  );
});

test("keys that cannot be variables are named by an Event, and the others are given", async () => {
  await using at = await world();
  const data = { "1st": "x", "a=b": "x", good: "x" };
  await at.edge.configure("configmap", "odd", { metadata: { name: "odd", namespace: "default" }, data });
  await at.edge.apply(podOf({}, { envFrom: [{ configMapRef: { name: "odd" } }] }));
  await at.clock.advance(1000);
  expect(
    at.edge.events.filter(({ type }) => type === "Warning").map(({ reason, message }) => [reason, message]),
  ).toEqual([
    [
      "InvalidEnvironmentVariableNames",
      "Keys [1st, a=b] from the EnvFrom configMap default/odd were skipped since they are considered invalid environment variable names.",
    ],
  ]);
  expect(at.edge.status("uid-web")?.phase).toBe("Running");
});
