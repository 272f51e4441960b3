import type { KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import type { Condition, Pod } from "#shared/kube";
import { startDeploymentController } from "#internal/cloud/controllers/workloads/deployment/controller.ts";
import { startGarbageCollector } from "#internal/cloud/controllers/garbage-collector/controller.ts";
import { startReplicaSetController } from "#internal/cloud/controllers/workloads/replica-set/controller.ts";
import type { ControllerDeps } from "#internal/cloud/controllers/framework/controller.ts";
import { followShared } from "#internal/cloud/controllers/framework/shared-informers.ts";
import type { Deployment } from "#internal/cloud/controllers/framework/workloads.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

export { until } from "./cluster-harness.ts";

export interface WorkloadHarness extends AsyncDisposable {
  readonly deps: ControllerDeps;
  readonly log: ReturnType<typeof silentLog>;
}

/** The three workload controllers on a client, with informers of their own. */
export async function startWorkloads(kube: KubeClient, clock: Clock): Promise<WorkloadHarness> {
  const log = silentLog();
  const followed = followShared(kube);
  await followed.synced;
  const deps: ControllerDeps = { kube, clock, log, ...followed.informers };
  const controllers = [startDeploymentController, startReplicaSetController, startGarbageCollector].map(
    (start) => start(deps),
  );
  return {
    deps,
    log,
    [Symbol.asyncDispose]: async () => {
      for (const controller of controllers) await controller[Symbol.asyncDispose]();
      await followed[Symbol.asyncDispose]();
    },
  };
}

export function deployment(
  name: string,
  spec: Partial<Deployment["spec"]> = {},
  image = "app:1",
): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      replicas: 1,
      progressDeadlineSeconds: 600,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: "app", image }] },
      },
      ...spec,
    },
  };
}

export function readyStatus(atMs: number): NonNullable<Pod["status"]> {
  const lastTransitionTime = new Date(atMs).toISOString();
  return { phase: "Running", conditions: [{ type: "Ready", status: "True", lastTransitionTime }] };
}

export function conditionOf(object: Deployment | undefined, type: string): Condition | undefined {
  return object?.status?.conditions?.find((condition) => condition.type === type);
}
