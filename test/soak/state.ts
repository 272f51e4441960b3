import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Cloud } from "#internal/scripts/cluster.ts";
import { labelNames } from "#internal/edge/runtime/labels.ts";
import type { EdgeMachine } from "./edge-machine.ts";

interface Owned {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
}
interface Workload extends Owned {
  readonly metadata: Owned["metadata"] & { readonly generation: number };
  readonly spec: { readonly replicas: number };
  readonly status: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
  };
}
interface PodState extends Owned {
  readonly status: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly name: string; readonly restartCount: number }[];
  };
}

/** What is to be seen of the pods from outside. */
export interface State {
  readonly pods: readonly PodState[];
  /** What differs from what was asked for; empty when all is well. */
  readonly problems: readonly string[];
}

/** Compares what was asked for with what runs: Deployments and their pods, containers, mounts, directories, networks. */
export async function readState({ kubectl }: Cloud, machine: EdgeMachine): Promise<State> {
  const [workloads, pods] = await Promise.all([
    itemsOf<Workload>(kubectl, "deployments"),
    itemsOf<PodState>(kubectl, "pods"),
  ]);
  const alive = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const problems = [
    ...workloads.flatMap(workloadProblems),
    ...pods.flatMap(podProblems),
    ...(await containerProblems(machine, alive)),
    ...leftOf("directory", uidsBelow(join(machine.dataDir, "pods")), alive),
    ...leftOf("mount", mountedUids(machine), alive),
    ...(await networkProblems(machine)),
  ];
  const wanted = workloads.reduce((sum, { spec }) => sum + spec.replicas, 0);
  if (alive.length !== wanted) problems.push(`there are ${alive.length} pods instead of ${wanted}`);
  return { pods: alive, problems };
}

async function itemsOf<T>(kubectl: Cloud["kubectl"], resource: string): Promise<readonly T[]> {
  return (JSON.parse(await kubectl("get", resource, "-l", "", "-o", "json")) as { items: readonly T[] })
    .items;
}

function workloadProblems({ metadata, spec, status }: Workload): string[] {
  const { observedGeneration, replicas = 0, updatedReplicas = 0, readyReplicas = 0 } = status;
  const counts = [replicas, updatedReplicas, readyReplicas];
  if (observedGeneration === metadata.generation && counts.every((count) => count === spec.replicas))
    return [];
  return [`deployment ${metadata.name} wants ${spec.replicas}: ${JSON.stringify(status)}`.slice(0, 300)];
}

function podProblems({ metadata, status }: PodState): string[] {
  if (metadata.deletionTimestamp !== undefined) return [`pod ${metadata.name} is still there`];
  const ready = status.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;
  return status.phase === "Running" && ready ? [] : [`pod ${metadata.name} is ${status.phase} and not ready`];
}

interface SeenContainer {
  readonly uid: string;
  readonly name: string;
  readonly role: string;
  readonly running: boolean;
}

/** Each pod has one sandbox and one container that run, and at most one that ended of each. */
async function containerProblems(machine: EdgeMachine, pods: readonly PodState[]): Promise<string[]> {
  const label = (name: string): string => `{{.Label "${name}"}}`;
  const { podUid, container, role, owner } = labelNames;
  const format = [label(podUid), label(container), label(role), "{{.State}}"].join("|");
  const text = await machine.docker("ps", "-a", "--filter", `label=${owner}`, "--format", format);
  const seen: SeenContainer[] = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [uid = "", name = "", kind = "", state = ""] = line.split("|");
      return { uid, name, role: kind, running: state === "running" };
    });
  const ofPods = Map.groupBy(seen, ({ uid }) => uid);
  const known = new Set(pods.map(({ metadata }) => metadata.uid));
  const strays = [...ofPods.keys()].filter((uid) => !known.has(uid));
  return [
    ...strays.map((uid) => `${ofPods.get(uid)?.length} containers of pod ${uid}, which does not exist`),
    ...pods.flatMap(({ metadata }) => podContainerProblems(metadata.name, ofPods.get(metadata.uid) ?? [])),
  ];
}

function podContainerProblems(pod: string, containers: readonly SeenContainer[]): string[] {
  const count = (role: "sandbox" | "container", running: boolean): number =>
    containers.filter((one) => (one.role === "sandbox") === (role === "sandbox") && one.running === running)
      .length;
  const problems: string[] = [];
  for (const role of ["sandbox", "container"] as const) {
    if (count(role, true) !== 1) problems.push(`pod ${pod} has ${count(role, true)} that run as ${role}`);
    if (count(role, false) > 1) problems.push(`pod ${pod} has ${count(role, false)} that ended as ${role}`);
  }
  return problems;
}

function uidsBelow(directory: string): string[] {
  return readdirSync(directory);
}

function mountedUids(machine: EdgeMachine): string[] {
  const pods = join(machine.dataDir, "pods");
  return [
    ...new Set(machine.mountsBelow(pods).map((path) => path.slice(pods.length + 1).split("/")[0] ?? "")),
  ];
}

function leftOf(what: string, uids: readonly string[], pods: readonly PodState[]): string[] {
  const known = new Set(pods.map(({ metadata }) => metadata.uid));
  return uids.filter((uid) => !known.has(uid)).map((uid) => `a ${what} of pod ${uid}, which does not exist`);
}

async function networkProblems(machine: EdgeMachine): Promise<string[]> {
  const names = (await machine.docker("network", "ls", "--format", "{{.Name}}"))
    .trim()
    .split("\n")
    .toSorted();
  return names.join() === "bridge,host,none" ? [] : [`networks of the engine: ${names.join(", ")}`];
}

export interface Figures {
  readonly residentMiB: number;
  readonly openFiles: number;
  readonly databaseMiB: number;
}

/** What edgecore takes; undefined while it does not run. */
export function figuresOf(machine: EdgeMachine): Figures | undefined {
  const edge = machine.processes().find(({ command }) => /edgecore /.test(command));
  if (!edge) return undefined;
  const status = readFileSync(`/proc/${edge.pid}/status`, "utf8");
  return {
    residentMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
    openFiles: readdirSync(`/proc/${edge.pid}/fd`).length,
    databaseMiB: Bun.file(join(machine.dataDir, "edgecore.db")).size / 2 ** 20,
  };
}
