import { join } from "node:path";
import { readOutside } from "#internal/cloud/controllers/workloads/autoscaler/outside-metrics.ts";
import type {
  Autoscaler,
  MetricSpec,
  PodMetrics,
} from "#internal/cloud/controllers/workloads/autoscaler/autoscaler.ts";
import { applyBehavior } from "#internal/cloud/controllers/workloads/autoscaler/behavior.ts";
import { decideReplicas } from "#internal/cloud/controllers/workloads/autoscaler/decide.ts";
import { proposeReplicas } from "#internal/cloud/controllers/workloads/autoscaler/replicas.ts";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";
import { recordOf } from "#shared/json";
import { quantityNumber, type Pod } from "#shared/kube";

const nowMs = Date.UTC(2026, 0, 1);
const ago = (seconds: number): string => new Date(nowMs - seconds * 1000).toISOString();

runScenarios(join(import.meta.dir, "scenarios"), () => ({
  propose: ({ input: [input] }) => {
    const { current, utilization, value, pods } = recordOf(input);
    const all = listOf(pods).map(recordOf);
    const read = proposeReplicas({
      currentReplicas: Number(current),
      resource: { name: "cpu" },
      target: {
        ...(utilization !== undefined && { averageUtilization: Number(utilization) }),
        ...(typeof value === "string" && { averageValue: value }),
      },
      pods: all.map(podOf),
      metrics: all.flatMap(metricsOf),
      nowMs,
    });
    return read.ok ? { replicas: read.proposal.replicas, ...read.proposal.current } : read.problem;
  },
  bound: ({ input: [input] }) => {
    const { current, wanted, min, max, events, recommended, behavior } = recordOf(input);
    const { replicas, ableToScale, limited } = applyBehavior({
      spec: specOf({ min, max, ...(behavior !== undefined && { behavior }) }),
      currentReplicas: Number(current),
      wanted: Number(wanted),
      history: {
        events: pairs(events).map(([atMs, change]) => ({ atMs, change })),
        recommendations: pairs(recommended).map(([atMs, count]) => ({ atMs, replicas: count })),
      },
      nowMs,
    });
    return { replicas, able: ableToScale.reason, limited: limited.reason };
  },
  outside: ({ input: [input] }) => {
    const { current, values, problem, metric } = recordOf(input);
    const spec = metric as MetricSpec;
    const read = readOutside(
      spec,
      {
        specs: [spec],
        currentReplicas: Number(current),
        statusReplicas: Number(current),
        pods: Array.from({ length: Number(current) }, (_, index) => podOf({}, index)),
        metrics: [],
        readings: new Map(),
        nowMs,
      },
      typeof problem === "string"
        ? { ok: false, problem }
        : {
            ok: true,
            values: listOf(values).map((text, index) => ({
              object: `p${index}`,
              value: Math.ceil((quantityNumber(String(text)) ?? 0) * 1000),
              timestamp: ago(0),
            })),
          },
    );
    const { ok: _ok, ...rest } = read;
    return rest;
  },
  decide: ({ input: [input] }) => {
    const { current, min, max, cpu, use, other } = recordOf(input);
    const all = listOf(use).map((one) => ({ ask: 100, ...(one !== null && { use: one }) }));
    const target = { type: "Utilization", averageUtilization: Number(cpu) };
    const metrics = [
      { type: "Resource", resource: { name: "cpu", target } },
      ...(typeof other === "string" ? [{ type: other }] : []),
    ];
    const decision = decideReplicas({
      spec: specOf({ min, max, metrics }),
      currentReplicas: Number(current),
      statusReplicas: Number(current),
      pods: all.map(podOf),
      metrics: all.flatMap(metricsOf),
      readings: new Map(),
      history: { events: [], recommendations: [] },
      nowMs,
    });
    return {
      replicas: decision.replicas,
      ...(decision.reason !== "" && { reason: decision.reason }),
      ...Object.fromEntries(
        decision.conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]),
      ),
    };
  },
}));

function specOf({ min, max, ...more }: Record<string, unknown>): Autoscaler["spec"] {
  return {
    scaleTargetRef: { kind: "Deployment", name: "web" },
    ...(min !== undefined && { minReplicas: Number(min) }),
    maxReplicas: Number(max),
    ...more,
  };
}

/** Seconds ago, and a number. */
function pairs(list: unknown): (readonly [atMs: number, value: number])[] {
  return listOf(list).map((pair) => {
    const [seconds, value] = listOf(pair);
    return [nowMs - Number(seconds) * 1000, Number(value)];
  });
}

function podOf(given: Readonly<Record<string, unknown>>, index: number): Pod {
  const { ask, unready = false, old = 60, deleting = false, phase = "Running" } = given;
  const requests = ask === undefined ? {} : { requests: { cpu: `${Number(ask)}m` } };
  const lastTransitionTime = ago(Number(old) > 300 ? 10 : Number(old));
  return {
    metadata: {
      name: `p${index}`,
      namespace: "default",
      ...(deleting === true && { deletionTimestamp: ago(1) }),
    },
    spec: { containers: [{ name: "web", image: "busybox:1", resources: requests }] },
    status: {
      phase: phase === "Failed" ? "Failed" : "Running",
      startTime: ago(Number(old)),
      conditions: [{ type: "Ready", status: unready === true ? "False" : "True", lastTransitionTime }],
    },
  };
}

function metricsOf(given: Readonly<Record<string, unknown>>, index: number): PodMetrics[] {
  if (given["use"] === undefined) return [];
  const containers = [{ name: "web", usage: { cpu: `${Number(given["use"])}m`, memory: "1Mi" } }];
  return [{ metadata: { name: `p${index}` }, timestamp: ago(0), window: "15s", containers }];
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
