import { join } from "node:path";
import {
  currentSize,
  isRescaled,
  limitsOf,
  rescale,
  shrinkOld,
  type DeploymentReplicaSets,
  type Resize,
} from "#internal/cloud/controllers/workloads/deployment/rollout.ts";
import type { Deployment, ReplicaSet } from "#internal/cloud/controllers/framework/workloads.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
import { asRecord, asText, recordOf } from "#shared/json";
import { deployment as makeDeployment } from "#internal/test/cloud/controllers/workload-harness.ts";

/** Sizes of ReplicaSets by name, and commands that make one decision, or follow a rollout to its end. */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  limits: ({ input: [spec] }) => limitsOf(deploymentOf(spec)),
  grow: (block) => {
    const { deployment, replicaSets } = worldOf(block);
    return currentSize(deployment, replicaSets);
  },
  shrink: (block) => {
    const { deployment, replicaSets } = worldOf(block);
    return sizesOf(apply(replicaSets, shrinkOld(deployment, replicaSets)));
  },
  scale: (block) => {
    const { deployment, replicaSets } = worldOf(block);
    if (!isRescaled(deployment, replicaSets)) return null;
    return sizesOf(apply(replicaSets, rescale(deployment, replicaSets)));
  },
  rollout: (block) => {
    const steps: unknown[] = [];
    const { deployment, replicaSets } = worldOf(block);
    const isReady = !block.options.has("never-ready");
    for (let now = replicaSets; ;) {
      const next = step(deployment, now);
      if (!next) return steps;
      now = {
        current: next.current && settled(next.current, isReady),
        old: next.old.map((one) => settled(one, true)),
      };
      steps.push(sizesOf(now));
    }
  },
}));

/** One run of the controller. */
function step(deployment: Deployment, replicaSets: DeploymentReplicaSets): DeploymentReplicaSets | undefined {
  const { current } = replicaSets;
  const replicas = currentSize(deployment, replicaSets);
  if (current && current.spec.replicas !== replicas)
    return apply(replicaSets, [{ replicaSet: current, replicas }]);
  const resizes = shrinkOld(deployment, replicaSets);
  return resizes.length > 0 ? apply(replicaSets, resizes) : undefined;
}

function apply({ current, old }: DeploymentReplicaSets, resizes: readonly Resize[]): DeploymentReplicaSets {
  const resized = (replicaSet: ReplicaSet): ReplicaSet => {
    const resize = resizes.find((one) => one.replicaSet === replicaSet);
    return resize ? { ...replicaSet, spec: { ...replicaSet.spec, replicas: resize.replicas } } : replicaSet;
  };
  return { current: current && resized(current), old: old.map(resized) };
}

/** As when its pods have started, and are ready or not. */
function settled(replicaSet: ReplicaSet, isReady: boolean): ReplicaSet {
  const { replicas = 0 } = replicaSet.spec;
  return { ...replicaSet, status: { replicas, availableReplicas: isReady ? replicas : 0 } };
}

function sizesOf({ current, old }: DeploymentReplicaSets): Record<string, number> {
  const all = current ? [current, ...old] : old;
  return Object.fromEntries(all.map(({ metadata, spec }) => [metadata.name, spec.replicas ?? 1]));
}

function worldOf({ input: [spec, sets] }: ScenarioBlock): {
  readonly deployment: Deployment;
  readonly replicaSets: DeploymentReplicaSets;
} {
  const all = Object.entries(recordOf(sets)).map(([name, set], index) => replicaSetOf(name, set, index));
  const isCurrent = ({ metadata }: ReplicaSet): boolean => metadata.name === "new";
  return {
    deployment: deploymentOf(spec),
    replicaSets: { current: all.find(isCurrent), old: all.filter((one) => !isCurrent(one)) },
  };
}

function deploymentOf(spec: unknown): Deployment {
  const { replicas, type = "RollingUpdate", ...rollingUpdate } = recordOf(spec);
  const strategy = { type: asText(type), rollingUpdate };
  return makeDeployment("web", { replicas: Number(replicas), strategy });
}

/** A number for a size all of which is available, or `{ replicas, available, desired, max }`. */
function replicaSetOf(name: string, set: unknown, index: number): ReplicaSet {
  const { replicas, available = replicas, desired, max } = asRecord(set) ?? { replicas: set };
  return {
    metadata: {
      name,
      creationTimestamp: `2026-01-01T00:00:0${index}Z`,
      annotations: {
        ...(desired !== undefined && { "deployment.kubernetes.io/desired-replicas": `${Number(desired)}` }),
        ...(max !== undefined && { "deployment.kubernetes.io/max-replicas": `${Number(max)}` }),
      },
    },
    spec: { replicas: Number(replicas), selector: {}, template: { spec: { containers: [] } } },
    status: { replicas: Number(replicas), availableReplicas: Number(available) },
  };
}
