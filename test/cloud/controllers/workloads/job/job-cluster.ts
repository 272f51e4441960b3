import { resources } from "#cloud/kube-client";
import type { Job, JobSpec } from "#internal/cloud/controllers/framework/workloads.ts";
import { finishedBy } from "#internal/cloud/controllers/workloads/job/rules/conditions.ts";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import {
  startKubectlCluster,
  type KubectlCluster,
} from "#internal/test/cloud/controllers/workloads/kubectl-cluster.ts";
import type { KubeObject, Pod } from "#shared/kube";

export interface JobCluster extends AsyncDisposable {
  readonly cluster: KubectlCluster;
  /** Applies a Job of one container, with its pods as the spec says. */
  run(name: string, spec: Partial<JobSpec>, podSpec?: object): Promise<void>;
  job(name: string): Promise<Job>;
  /** Waits until the Job's status is as `isMet` wants it. */
  reach(name: string, what: string, isMet: (job: Job) => boolean): Promise<Job>;
  /** Waits until the Job is complete or has failed. */
  finished(name: string): Promise<Job>;
  pods(job: string): Pod[];
  /** Waits for this many pods that run. */
  running(job: string, count: number): Promise<Pod[]>;
  /** Ends the container of a pod. */
  end(pod: Pod, exitCode: number): Promise<void>;
  /** Reasons and messages of the Events about an object. */
  events(name: string): Promise<string[]>;
}

/** A cluster whose pods run until a test ends them. */
export async function startJobCluster(dataDir: string): Promise<JobCluster> {
  const cluster = await startKubectlCluster(dataDir, ["a", "b"]);
  const { kube, deps } = cluster;
  const job = (name: string): Promise<Job> => kube.get<Job>(resources.jobs, { namespace: "default", name });
  const pods = (name: string): Pod[] =>
    deps.pods.list().filter(({ metadata }) => metadata.labels?.["job-name"] === name);
  const reach = async (name: string, what: string, isMet: (job: Job) => boolean): Promise<Job> => {
    let found = await job(name);
    await until(`${name}: ${what}`, async () => {
      found = await job(name);
      return isMet(found);
    });
    return found;
  };
  return {
    cluster,
    job,
    pods,
    reach,
    finished: (name) => reach(name, "finished", (found) => finishedBy(found) !== undefined),
    run: async (name, spec, podSpec = {}) => {
      await cluster.apply(jobOf(name, spec, podSpec));
    },
    running: async (name, count) => {
      const found = (): Pod[] => pods(name).filter(isRunning);
      await until(`${count} pods of ${name}`, () => found().length === count);
      return found();
    },
    end: async ({ metadata }, exitCode) => {
      const { name = "", namespace = "default" } = metadata;
      const options = { type: "merge", subresource: "status" } as const;
      await kube.patch(resources.pods, { name, namespace }, { status: endedStatus(exitCode) }, options);
    },
    events: async (name) => {
      const { items } = await kube.list<
        KubeObject & { involvedObject: { name?: string }; reason: string; message: string }
      >(resources.events);
      return items
        .filter(({ involvedObject }) => involvedObject.name === name)
        .map(({ reason, message }) => `${reason} ${message}`);
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

export function jobOf(name: string, spec: Partial<JobSpec>, podSpec: object = {}): KubeObject {
  const template = {
    spec: { restartPolicy: "Never", containers: [{ name: "c", image: "busybox:1" }], ...podSpec },
  };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name },
    spec: { template, ...spec },
  };
}

function isRunning({ status, metadata }: Pod): boolean {
  return status?.phase === "Running" && metadata.deletionTimestamp === undefined;
}

export function endedStatus(exitCode: number): NonNullable<Pod["status"]> {
  const finishedAt = new Date().toISOString();
  const state = { terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error", finishedAt } };
  return {
    phase: exitCode === 0 ? "Succeeded" : "Failed",
    conditions: [{ type: "Ready", status: "False", lastTransitionTime: finishedAt }],
    containerStatuses: [
      { name: "c", state, ready: false, restartCount: 0, image: "busybox:1", imageID: "i" },
    ],
  };
}

export function conditionsOf({ status }: Job): string[] {
  return (status?.conditions ?? []).map(
    ({ type, status: value, reason = "", message = "" }) => `${type}=${value} ${reason}: ${message}`,
  );
}
