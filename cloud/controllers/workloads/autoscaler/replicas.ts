import { quantityNumber, type Container, type Pod } from "#shared/kube";
import type { MetricTarget, PodMetrics } from "./autoscaler.ts";

/** What is measured: a resource of all containers of the pods, or of one. */
export interface MeasuredResource {
  readonly name: string;
  readonly container?: string | undefined;
  /** A metric that another API gives, of any unit. */
  readonly isOutside?: boolean;
}

export interface ReplicaInput {
  readonly currentReplicas: number;
  readonly resource: MeasuredResource;
  readonly target: MetricTarget;
  /** Those that the selector of the target selects. */
  readonly pods: readonly Pod[];
  readonly metrics: readonly PodMetrics[];
  readonly nowMs: number;
}

export interface ReplicaProposal {
  readonly replicas: number;
  /** As `status.currentMetrics` shows it. */
  readonly current: { readonly averageUtilization?: number; readonly averageValue: string };
}

export type ProposedReplicas =
  | { readonly ok: true; readonly proposal: ReplicaProposal }
  | { readonly ok: false; readonly problem: string };

/** kube-controller-manager's defaults: --horizontal-pod-autoscaler-tolerance, -cpu-initialization-period, -initial-readiness-delay. */
const tolerance = 0.1;
const cpuInitializationMs = 300_000;
const initialReadinessMs = 30_000;

/**
 * How many replicas bring the usage to its target ("Algorithm details" of the documentation; replica_calculator.go). Pods without
 * usage are taken to use as much as keeps the change small, and so are pods that are not ready when it would be a growth.
 */
export function proposeReplicas(input: ReplicaInput): ProposedReplicas {
  const { resource, target, pods } = input;
  if (pods.length === 0) return refused("no pods returned by selector while calculating replica count");
  const groups = groupPods(input);
  const known = new Map([...groups.used].filter(([name]) => !groups.unready.has(name)));
  if (known.size === 0) return refused("did not receive metrics for targeted pods (pods might be unready)");
  const wanted = wantedUsage(input, [...known.keys(), ...groups.missing, ...groups.unready]);
  if (!wanted.ok) return wanted;
  const replicas = replicasFor(input.currentReplicas, { known, groups, wanted });
  return { ok: true, proposal: { replicas, current: currentOf(known, wanted.of, { resource, target }) } };
}

interface KnownUsage {
  /** Usage of pods that are ready, by name. */
  readonly known: ReadonlyMap<string, number>;
  readonly groups: PodGroups;
  readonly wanted: WantedShare;
}

function replicasFor(currentReplicas: number, usage: KnownUsage): number {
  const { known, groups, wanted } = usage;
  const ratio = ratioOf(known, wanted);
  const growsWithUnready = groups.unready.size > 0 && ratio > 1;
  if (!growsWithUnready && groups.missing.size === 0)
    return isClose(ratio) ? currentReplicas : Math.ceil(ratio * known.size - rounding);
  const assumed = withAssumed(usage, ratio);
  const next = ratioOf(assumed, wanted);
  const hasTurned = (ratio - 1) * (next - 1) < 0;
  const replicas = Math.ceil(next * assumed.size - rounding);
  const contradicts = (next - 1) * (replicas - currentReplicas) < 0;
  return isClose(next) || hasTurned || contradicts ? currentReplicas : replicas;
}

/** Missing pods use at least all they asked for when it would shrink, nothing when it would grow; then unready ones nothing. */
function withAssumed(
  { known, groups, wanted: { of, share } }: KnownUsage,
  ratio: number,
): Map<string, number> {
  const assumed = new Map(known);
  for (const name of groups.missing)
    if (ratio !== 1) assumed.set(name, ratio < 1 ? of(name) * Math.max(1, share) : 0);
  if (ratio > 1) for (const name of groups.unready) assumed.set(name, 0);
  return assumed;
}

function ratioOf(usages: ReadonlyMap<string, number>, { of, share }: WantedShare): number {
  return sum(usages.values()) / (sum([...usages.keys()].map(of)) * share);
}

/** Products of fractions may exceed a whole number by less than this. */
const rounding = 1e-6;

function isCpu({ name, isOutside }: MeasuredResource): boolean {
  return name === "cpu" && isOutside !== true;
}

export function isClose(ratio: number): boolean {
  return Math.abs(1 - ratio) <= tolerance;
}

interface PodGroups {
  /** Usage of pods that count, by name. */
  readonly used: ReadonlyMap<string, number>;
  readonly unready: ReadonlySet<string>;
  readonly missing: ReadonlySet<string>;
}

function groupPods({ pods, metrics, resource, nowMs }: ReplicaInput): PodGroups {
  const byName = new Map(metrics.map((one) => [one.metadata.name ?? "", one]));
  const used = new Map<string, number>();
  const unready = new Set<string>();
  const missing = new Set<string>();
  for (const pod of pods.filter(counts)) {
    const { name = "" } = pod.metadata;
    const metric = byName.get(name);
    const usage = metric && usageOf(metric, resource);
    if (usage !== undefined) used.set(name, usage);
    if (pod.status?.phase === "Pending") unready.add(name);
    else if (!metric || usage === undefined) missing.add(name);
    else if (isCpu(resource) && isUnready(pod, metric, nowMs)) unready.add(name);
  }
  return { used, unready, missing };
}

function counts({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && status?.phase !== "Failed";
}

/** In its first minutes a pod counts once it was ready while it was measured; later, unless it was never ready. */
function isUnready({ status }: Pod, { timestamp, window }: PodMetrics, nowMs: number): boolean {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  if (!ready || status?.startTime === undefined) return true;
  const startMs = Date.parse(status.startTime);
  const changedMs = Date.parse(ready.lastTransitionTime ?? status.startTime);
  if (startMs + cpuInitializationMs > nowMs)
    return ready.status === "False" || Date.parse(timestamp) < changedMs + Number.parseFloat(window) * 1000;
  return ready.status === "False" && startMs + initialReadinessMs > changedMs;
}

/** Undefined when a container is not measured. */
function usageOf({ containers }: PodMetrics, { name, container }: MeasuredResource): number | undefined {
  const counted = containers.filter((one) => container === undefined || one.name === container);
  const usages = counted.map(({ usage }) => thousandthsOf(usage[name]));
  if (usages.length === 0 || usages.includes(undefined)) return undefined;
  return sum(usages.map((usage) => usage ?? 0));
}

/** What a pod may use: `share` of what `of` gives. */
interface WantedShare {
  readonly of: (pod: string) => number;
  readonly share: number;
}

type WantedUsage = { readonly ok: false; readonly problem: string } | ({ readonly ok: true } & WantedShare);

function wantedUsage({ target, pods, resource }: ReplicaInput, names: readonly string[]): WantedUsage {
  const { averageUtilization, averageValue } = target;
  if (averageUtilization === undefined) {
    const value = thousandthsOf(averageValue) ?? 0;
    return value > 0 ? { ok: true, of: () => value, share: 1 } : refused("the target is not above zero");
  }
  const requests = new Map<string, number>();
  for (const pod of pods.filter(({ metadata }) => names.includes(metadata.name ?? ""))) {
    const request = requestOf(pod, resource);
    if (!request.ok) return request;
    requests.set(pod.metadata.name ?? "", request.value);
  }
  return { ok: true, of: (pod) => requests.get(pod) ?? 0, share: averageUtilization / 100 };
}

function requestOf(
  { metadata, spec }: Pod,
  { name, container }: MeasuredResource,
): { readonly ok: true; readonly value: number } | { readonly ok: false; readonly problem: string } {
  let value = 0;
  const counted = spec.containers.filter((one) => container === undefined || one.name === container);
  for (const one of counted) {
    const request = thousandthsOf(requestsOf(one)[name]);
    if (request === undefined)
      return refused(`missing request for ${name} in container ${one.name} of Pod ${metadata.name ?? ""}`);
    value += request;
  }
  return { ok: true, value };
}

function requestsOf({ resources }: Container): Readonly<Record<string, string>> {
  return resources?.requests ?? {};
}

function currentOf(
  usages: ReadonlyMap<string, number>,
  of: (pod: string) => number,
  { resource, target }: Pick<ReplicaInput, "resource" | "target">,
): ReplicaProposal["current"] {
  const total = sum(usages.values());
  const average = Math.floor(total / usages.size);
  const isWhole = !isCpu(resource) && (resource.isOutside !== true || average % 1000 === 0);
  const averageValue = isWhole ? String(Math.floor(average / 1000)) : `${average}m`;
  if (target.averageUtilization === undefined) return { averageValue };
  const requested = sum([...usages.keys()].map(of));
  return { averageUtilization: Math.floor((total * 100) / requested), averageValue };
}

/** Whole numbers, so that sums are exact; rounded up as Kubernetes' MilliValue. */
function thousandthsOf(text: string | undefined): number | undefined {
  const value = quantityNumber(text);
  return value === undefined ? undefined : Math.ceil(value * 1000 - rounding);
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

function refused(problem: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem };
}
