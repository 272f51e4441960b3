import { expect, test } from "bun:test";
import type { ContainerDetails } from "#edge/runtime";
import { nextCrash, restartAtMs, type CrashBackoff } from "#internal/edge/edged/pods/plan/crash-backoff.ts";
import { PodMemory } from "#internal/edge/edged/pods/plan/memory.ts";
import { planPod, type Action } from "#internal/edge/edged/pods/plan/plan.ts";
import { specHash } from "#internal/edge/edged/pods/plan/spec-hash.ts";
import type { Container, Pod, PodSpec } from "#shared/kube";

const web: Container = { name: "web", image: "nginx:1" };
const init: Container = { name: "init", image: "nginx:1" };
const probes = { started: () => true, unhealthy: () => new Set<string>() };

function pod(spec: Partial<PodSpec> = {}): Pod {
  return { metadata: { name: "p", namespace: "default", uid: "u" }, spec: { containers: [web], ...spec } };
}

function roleOf(container: string): ContainerDetails["identity"]["role"] {
  if (container === "POD") return "sandbox";
  return (["init", "ephemeral"] as const).find((role) => container.startsWith(role)) ?? "container";
}

function made(
  container: string,
  over: Partial<ContainerDetails> & { attempt?: number; sandboxId?: string } = {},
) {
  const { attempt = 0, sandboxId = "s0", ...rest } = over;
  const role = roleOf(container);
  const identity = {
    podName: "p",
    podNamespace: "default",
    podUid: "u",
    container,
    role,
    attempt,
    specHash: specHash(web),
    sandboxId: role === "sandbox" ? "" : sandboxId,
    graceSeconds: 30,
  } as const;
  const base = {
    phase: "running",
    image: "nginx:1",
    uri: "docker://c",
    imageId: "i",
    imageRef: "docker://i",
    pid: 1,
    exitCode: 0,
    oomKilled: false,
    error: "",
  } as const;
  const id = role === "sandbox" ? `s${attempt}` : `${container}${attempt}`;
  return { id, identity, ...base, startedAtMs: 0, finishedAtMs: undefined, ips: [], ...rest };
}

const ended = { phase: "exited", exitCode: 1, finishedAtMs: 1000 } as const;

function say(action: Action): string {
  if (action.kind === "start") return `start ${action.container.name} ${action.attempt}`;
  if (action.kind === "sandbox") return `sandbox ${action.attempt}`;
  if (action.kind === "resize") return `resize ${action.target.id}`;
  if (action.kind === "wait") return `wait ${action.container} ${action.untilMs}`;
  return action.kind === "stop" ? `stop ${action.target.id} ${action.why}` : `remove ${action.target.id}`;
}

function plan(of: Pod, containers: ContainerDetails[], memory = new PodMemory(0, () => 2000), nowMs = 2000) {
  const { outcome, actions } = planPod({
    pod: of,
    containers,
    memory: memory.view(probes),
    status: undefined,
    nowMs,
    resizeOf: () => "none",
  });
  return [outcome, ...actions.map(say)];
}

const debugged = pod({ ephemeralContainers: [{ name: "ephemeral", image: "busybox:1" }] });

test.each<[string, Pod, ContainerDetails[], string[]]>([
  [
    "starts an ephemeral container beside those that run",
    debugged,
    [made("POD"), made("web")],
    ["running", "start ephemeral 0"],
  ],
  [
    "starts an ephemeral container of a pod whose init container fails",
    { ...debugged, spec: { ...debugged.spec, initContainers: [init], restartPolicy: "Always" } },
    [made("POD"), made("init", { ...ended, finishedAtMs: 1999 })],
    ["running", "start ephemeral 0", "start init 1"],
  ],
  [
    "does not start an ephemeral container again",
    debugged,
    [made("POD"), made("web"), made("ephemeral", ended)],
    ["running"],
  ],
  [
    "stops an ephemeral container when the pod is finished",
    { ...debugged, spec: { ...debugged.spec, restartPolicy: "Never" } },
    [made("POD"), made("web", ended), made("ephemeral")],
    ["finished", "stop ephemeral0 finished", "stop s0 finished"],
  ],
  ["makes everything when there is nothing", pod(), [], ["running", "sandbox 0", "start web 0"]],
  ["does nothing when all runs", pod(), [made("POD"), made("web")], ["running"]],
  [
    "starts a container that ended at once the first time",
    pod(),
    [made("POD"), made("web", ended)],
    ["running", "start web 1"],
  ],
  [
    "leaves a finished pod",
    pod({ restartPolicy: "Never" }),
    [made("POD"), made("web", ended)],
    ["finished", "stop s0 finished"],
  ],
  [
    "restarts on failure only",
    pod({ restartPolicy: "OnFailure" }),
    [made("POD"), made("web", { ...ended, exitCode: 0 })],
    ["finished", "stop s0 finished"],
  ],
  [
    "ends what goes on beside the others once these have ended, the last one first, and the sandbox at the end",
    pod({
      restartPolicy: "Never",
      initContainers: [
        { ...init, name: "init-a", restartPolicy: "Always" },
        { ...init, name: "init-b", restartPolicy: "Always" },
      ],
    }),
    [made("POD"), made("init-a"), made("init-b"), made("web", { ...ended, exitCode: 0 })],
    ["finished", "stop init-b0 finished", "stop init-a0 finished", "stop s0 finished"],
  ],
  [
    "replaces a dead sandbox and what lost its network",
    pod(),
    [made("POD", ended), made("web")],
    ["running", "stop web0 sandbox", "sandbox 1"],
  ],
  [
    "starts again after the engine was restarted",
    pod(),
    [made("POD", ended), made("web", ended)],
    ["running", "sandbox 1", "start web 1"],
  ],
  [
    "keeps a dead sandbox as long as the last run of a container in it is kept",
    pod(),
    [
      made("POD", ended),
      made("web", ended),
      made("POD", { attempt: 1 }),
      made("web", { attempt: 1, sandboxId: "s1" }),
    ],
    ["running"],
  ],
  [
    "removes a dead sandbox that no container is in",
    pod(),
    [made("POD", ended), made("POD", { attempt: 1 }), made("web", { attempt: 1, sandboxId: "s1" })],
    ["running", "remove s0"],
  ],
  [
    "makes again what was never started",
    pod(),
    [made("POD"), made("web", { phase: "created" })],
    ["running", "remove web0", "start web 0"],
  ],
  [
    "stops a container of another spec",
    pod({ containers: [{ ...web, image: "nginx:2" }] }),
    [made("POD"), made("web")],
    ["running", "stop web0 changed"],
  ],
  ["runs init containers first", pod({ initContainers: [init] }), [made("POD")], ["running", "start init 0"]],
  [
    "goes on after init containers",
    pod({ initContainers: [init] }),
    [made("POD"), made("init", { ...ended, exitCode: 0 })],
    ["running", "start web 0"],
  ],
  ["waits for an init container", pod({ initContainers: [init] }), [made("POD"), made("init")], ["running"]],
  [
    "fails with an init container that may not restart",
    pod({ initContainers: [init], restartPolicy: "Never" }),
    [made("POD"), made("init", ended)],
    ["finished", "stop s0 finished"],
  ],
  [
    "runs init containers again in a new sandbox",
    pod({ initContainers: [init] }),
    [made("POD", { attempt: 1 }), made("init", { ...ended, exitCode: 0 }), made("web", ended)],
    ["running", "start init 1"],
  ],
  [
    "ends a pod past its deadline",
    pod({ activeDeadlineSeconds: 1 }),
    [made("POD"), made("web")],
    ["deadline", "stop web0 deadline", "stop s0 deadline"],
  ],
  [
    "keeps one dead predecessor",
    pod(),
    [made("POD"), made("web", { ...ended, attempt: 2 }), made("web", { ...ended, attempt: 1 })],
    ["running", "remove web1", "start web 3"],
  ],
])("planPod %s", (_name, of, containers, expected) => {
  expect(plan(of, containers)).toEqual(expected);
});

/** One container as `kubectl apply` wrote it and an API server kept it, and as KubeEdge's cloudcore sends it. */
const applied: Container = {
  command: ["/bin/sh", "-c", ""],
  args: [],
  env: [
    { name: "PW", valueFrom: { secretKeyRef: { key: "pw", name: "cred" } } },
    { name: "EMPTY", value: "" },
  ],
  image: "nginx:1",
  name: "web",
};
const sent: Container = {
  name: "web",
  image: "nginx:1",
  command: ["/bin/sh", "-c", ""],
  env: [{ name: "PW", valueFrom: { secretKeyRef: { name: "cred", key: "pw" } } }, { name: "EMPTY" }],
};

test.each<[string, string, Container, string[]]>([
  ["keeps a container when another cloud sends its fields in another order", specHash(applied), sent, []],
  ["keeps a container that a version before this one started", legacyHash(sent), sent, []],
  [
    "replaces a container when an argument becomes empty",
    specHash({ ...sent, args: ["a", "b"] }),
    { ...sent, args: ["a", ""] },
    ["stop web0 changed"],
  ],
  [
    "replaces a container when a variable comes from another key",
    specHash(sent),
    { ...sent, env: [{ name: "PW", valueFrom: { secretKeyRef: { name: "cred", key: "other" } } }] },
    ["stop web0 changed"],
  ],
])("planPod %s", (_what, hash, container, expected) => {
  const running = made("web");
  const containers = [made("POD"), { ...running, identity: { ...running.identity, specHash: hash } }];
  expect(plan(pod({ containers: [container] }), containers)).toEqual(["running", ...expected]);
});

function legacyHash({ image, command, args, workingDir, env, envFrom }: Container): string {
  return Bun.hash(JSON.stringify([image, command, args, workingDir, env, envFrom])).toString(16);
}

test("planPod waits out the back-off of a container that crashed before", () => {
  const memory = new PodMemory(0);
  memory.restarted(made("web", ended));
  const containers = [made("POD"), made("web", { ...ended, attempt: 1, startedAtMs: 900 })];
  expect(plan(pod(), containers, memory)).toEqual(["running", "wait web 11000"]);
  expect(plan(pod(), containers, memory, 11_000)).toEqual(["running", "start web 2"]);
});

test("planPod tries a failed start again only when its time has come", () => {
  const memory = new PodMemory(0);
  memory.failed("web", { error: new Error("no"), image: "nginx:1", nowMs: 1000 });
  expect([plan(pod(), [made("POD")], memory, 2999), plan(pod(), [made("POD")], memory, 3000)]).toEqual([
    ["running"],
    ["running", "start web 0"],
  ]);
});

test("crash back-off doubles from 10 s to 5 min and begins again after 10 good minutes", () => {
  let entry: CrashBackoff | undefined;
  const delays: number[] = [];
  for (let count = 0; count < 7; count += 1) {
    delays.push(restartAtMs(entry, made("web", { ...ended, finishedAtMs: 0 })));
    entry = nextCrash(entry, made("web", ended));
  }
  const healthy = made("web", { ...ended, finishedAtMs: 600_000 });
  expect(delays).toEqual([0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000]);
  expect([restartAtMs(entry, healthy), nextCrash(entry, healthy)]).toEqual([600_000, { delayMs: 10_000 }]);
});
