import { join } from "node:path";
import type { ContainerDetails, ContainerIdentity, ContainerPhase } from "#edge/runtime";
import { containerSpec, sandboxSpec } from "#internal/edge/edged/pods/container-spec.ts";
import { PodMemory } from "#internal/edge/edged/pods/plan/memory.ts";
import { podStatus } from "#internal/edge/edged/pods/status.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
import { recordOf } from "#shared/json";
import type { ContainerStatus, Pod, PodSpec, PodStatus } from "#shared/kube";

const nowMs = Date.UTC(2026, 0, 1);
const security = { allowedUnsafeSysctls: [], seccompDir: "/none", appArmor: false };

/**
 * `sandbox` and `container`: what the engine is given for the spec of a pod (its first container), without identity and
 * without what is empty. `status`: the first document is the spec of a pod, the others are its containers in the engine.
 */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  sandbox: ({ input: [spec], options }: ScenarioBlock) => {
    const dns = { servers: options.get("dns")?.split(",") ?? [], domain: "cluster.local" };
    return interesting(sandboxSpec(podOf(spec), { attempt: 0, dns, security }));
  },
  container: ({ input: [spec] }: ScenarioBlock) => {
    const pod = podOf(spec);
    const [container = { name: "none" }] = pod.spec.containers;
    const env = new Map((container.env ?? []).map(({ name, value = "" }) => [name, value]));
    const given = {
      role: "container",
      attempt: 0,
      sandboxId: "s",
      sandbox: sandboxSpec(pod, { attempt: 0, dns: { servers: [], domain: "" }, security }),
      env,
      mounts: [],
      security,
      imageUser: "",
      limits: { memoryBytes: 4 * 2 ** 30, processes: 100 },
    } as const;
    return interesting(containerSpec(pod, container, given));
  },
  status: ({ input: [spec, ...containers], options }: ScenarioBlock) =>
    statusOf(podOf(spec), containers, options),
}));

function podOf(spec: unknown): Pod {
  const { status, ...given } = recordOf(spec);
  const whole = { containers: [{ name: "c", image: "app:1" }], ...given } as PodSpec;
  const metadata = { name: "web", namespace: "default", uid: "u" };
  return { metadata, spec: whole, ...(status === undefined ? {} : { status: status as PodStatus }) };
}

function interesting(spec: object): object {
  const isEmpty = (value: unknown): boolean =>
    value === false || (typeof value === "object" && value !== null && Object.keys(value).length === 0);
  return Object.fromEntries(
    Object.entries(spec).filter(
      ([field, value]) => field !== "identity" && field !== "sandbox" && !isEmpty(value),
    ),
  );
}

function statusOf(pod: Pod, containers: readonly unknown[], options: ReadonlyMap<string, string>): object {
  const started = options.get("unstarted") !== "true";
  const view = new PodMemory(nowMs).view({ started: () => started, unhealthy: () => new Set() });
  const outcome = options.get("outcome");
  const status = podStatus({
    pod,
    containers: containers.map(detailsOf),
    memory: view,
    outcome: outcome === "finished" || outcome === "deadline" ? outcome : "running",
    previous: undefined,
    hostIp: "192.0.2.1",
    nowMs,
    ready: () => options.get("unready") !== "true",
    terminationMessage: () => undefined,
    resourcesOf: () => undefined,
    pendingResize: undefined,
  });
  const told = status.conditions?.find(
    ({ reason = "" }) => reason === "ContainersNotInitialized" || reason === "ReadinessGatesNotReady",
  );
  return {
    phase: status.phase,
    podIP: status.podIP,
    ...(told?.message === undefined ? {} : { message: told.message }),
    conditions: Object.fromEntries(
      (status.conditions ?? []).map(({ type, status: state, reason }) => [
        type,
        reason === undefined ? state : `${state} ${reason}`,
      ]),
    ),
    containers: Object.fromEntries(
      [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])].map((one) => [
        one.name,
        stateOf(one),
      ]),
    ),
  };
}

function stateOf({ state, restartCount }: ContainerStatus): string {
  const word = state?.running
    ? "running"
    : (state?.waiting?.reason ?? `${state?.terminated?.reason} ${state?.terminated?.exitCode}`);
  return (restartCount ?? 0) > 0 ? `${word}, restarted ${restartCount}` : word;
}

/** A container in the engine; without a phase it runs. */
interface ContainerCase {
  readonly name: string;
  readonly phase: ContainerPhase;
  readonly attempt: number;
  readonly exitCode: number;
  readonly oomKilled: boolean;
}

function detailsOf(given: unknown): ContainerDetails {
  const fallback = { name: "c", phase: "running", attempt: 0, exitCode: 0, oomKilled: false } as const;
  const one: ContainerCase = { ...fallback, ...recordOf(given) };
  const role = roleOf(one.name);
  const hasEnded = one.phase === "exited";
  return {
    id: role === "sandbox" ? one.name : `${one.name}${one.attempt}`,
    identity: {
      podName: "web",
      podNamespace: "default",
      podUid: "u",
      container: one.name,
      role,
      attempt: one.attempt,
      specHash: "",
      sandboxId: role === "sandbox" ? "" : "POD",
      graceSeconds: 30,
    },
    phase: one.phase,
    uri: `docker://${role === "sandbox" ? one.name : `${one.name}${one.attempt}`}`,
    image: "app:1",
    imageId: "sha256:1",
    imageRef: "docker://sha256:1",
    pid: 1,
    startedAtMs: nowMs - 5000,
    finishedAtMs: hasEnded ? nowMs - 1000 : undefined,
    exitCode: one.exitCode,
    oomKilled: one.oomKilled,
    error: "",
    ips: role === "sandbox" ? ["10.0.0.2"] : [],
  };
}

function roleOf(name: string): ContainerIdentity["role"] {
  if (name === "POD") return "sandbox";
  return name.startsWith("init") ? "init" : "container";
}
