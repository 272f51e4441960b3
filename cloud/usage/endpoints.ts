import { resources, type KubeClient, type ListOptions } from "#cloud/kube-client";
import type { ExtraReply, ExtraRequest, ExtraResource } from "#cloud/kube-api/http";
import { isKubeError } from "#cloud/kube-client";
import type { KubeObject, Node, Pod } from "#shared/kube";
import { metricsGroup, metricsList, nodeMetrics, podMetrics } from "./metrics.ts";
import type { NodeUsage } from "./node-usage.ts";

export interface MetricsSources {
  readonly kube: Pick<KubeClient, "find" | "list">;
  readonly usage: Pick<NodeUsage, "read">;
}

/** `nodes` and `pods` of metrics.k8s.io, with the answers of metrics-server. */
export function metricsEndpoints(sources: MetricsSources): readonly ExtraResource[] {
  const nodes = { ...metricsGroup, resource: "nodes", subresource: "", namespaced: false } as const;
  const pods = { ...metricsGroup, resource: "pods", subresource: "" } as const;
  const listPods = (request: ExtraRequest): Promise<ExtraReply> =>
    refusing(() => answerPods(sources, request));
  return [
    { ...nodes, verb: "list", answer: (request) => refusing(() => answerNodes(sources, request)) },
    { ...nodes, verb: "get", answer: (request) => refusing(() => answerNode(sources, request)) },
    { ...pods, namespaced: false, verb: "list", answer: listPods },
    { ...pods, namespaced: true, verb: "list", answer: listPods },
    {
      ...pods,
      namespaced: true,
      verb: "get",
      answer: (request) => refusing(() => answerPod(sources, request)),
    },
  ];
}

async function answerNodes({ kube, usage }: MetricsSources, request: ExtraRequest): Promise<ExtraReply> {
  const { items } = await kube.list<Node>(resources.nodes, selectionOf(request));
  const reports = await usage.read(items.map(nameOf), request.signal);
  const found = items.flatMap((node) => {
    const received = reports.get(nameOf(node));
    return received ? [nodeMetrics(node, received)] : [];
  });
  return { ok: true, body: metricsList("NodeMetricsList", found) };
}

async function answerNode(
  { kube, usage }: MetricsSources,
  { name, signal }: ExtraRequest,
): Promise<ExtraReply> {
  const node = await kube.find<Node>(resources.nodes, { name }, { signal });
  const received = node && (await usage.read([name], signal)).get(name);
  if (!node || !received) return notFound("nodemetrics", name);
  return { ok: true, body: nodeMetrics(node, received) };
}

async function answerPods({ kube, usage }: MetricsSources, request: ExtraRequest): Promise<ExtraReply> {
  const { items } = await kube.list<Pod>(resources.pods, selectionOf(request));
  const reports = await usage.read(items.flatMap(nodeOf), request.signal);
  const found = items.flatMap((pod) => {
    const received = reports.get(pod.spec.nodeName ?? "");
    const metrics = received && podMetrics(pod, received);
    return metrics ? [metrics] : [];
  });
  return { ok: true, body: metricsList("PodMetricsList", found) };
}

async function answerPod(
  { kube, usage }: MetricsSources,
  { namespace, name, signal }: ExtraRequest,
): Promise<ExtraReply> {
  const pod = await kube.find<Pod>(resources.pods, { namespace, name }, { signal });
  const [node = ""] = pod ? nodeOf(pod) : [];
  const received = node === "" ? undefined : (await usage.read([node], signal)).get(node);
  const metrics = pod && received && podMetrics(pod, received);
  return metrics ? { ok: true, body: metrics } : notFound("podmetrics", `${namespace}/${name}`);
}

/** Pods that run, and those that have ended on a node that can still say so. */
function nodeOf({ spec, status }: Pod): string[] {
  const hasEnded = status?.phase === "Succeeded" || status?.phase === "Failed";
  return spec.nodeName === undefined || spec.nodeName === "" || hasEnded ? [] : [spec.nodeName];
}

function nameOf({ metadata: { name = "" } }: KubeObject): string {
  return name;
}

function selectionOf({ namespace, query, signal }: ExtraRequest): ListOptions {
  const labelSelector = query.get("labelSelector") ?? "";
  const fieldSelector = query.get("fieldSelector") ?? "";
  return {
    ...(namespace !== "" && { namespace }),
    ...(labelSelector !== "" && { labelSelector }),
    ...(fieldSelector !== "" && { fieldSelector }),
    signal,
  };
}

function notFound(resource: string, name: string): ExtraReply {
  return { ok: false, code: 404, text: `${resource}.${metricsGroup.group} "${name}" not found` };
}

/** A selector that the API refuses is refused here as well. */
async function refusing(answer: () => Promise<ExtraReply>): Promise<ExtraReply> {
  try {
    return await answer();
  } catch (error) {
    if (isKubeError(error, 400)) return { ok: false, code: 400, text: error.message };
    throw error;
  }
}
