import { isKubeError, type KubeClient, type ObjectAt, type ResourceType } from "#cloud/kube-client";
import { findKind } from "#cloud/kube-api/kinds";
import { describeError } from "#shared/errors";
import { formatLabelSelector, quantityNumber, type KubeObject } from "#shared/kube";
import type { DescribedObject, MetricIdentifier, MetricSpec } from "./autoscaler.ts";

/** A value of a metric, in thousandths; of pods with the name of its pod. */
export interface MetricValue {
  readonly object: string;
  readonly value: number;
  readonly timestamp: string;
}

export type MetricReading =
  | { readonly ok: true; readonly values: readonly MetricValue[] }
  | { readonly ok: false; readonly problem: string };

/** What custom.metrics.k8s.io and external.metrics.k8s.io answer: a list of values. */
interface ValueList extends KubeObject {
  items?: {
    describedObject?: { name?: string };
    timestamp?: string;
    value?: string;
  }[];
}

interface Asked {
  readonly api: "custom" | "external";
  readonly path: Pick<ResourceType, "plural" | "namespaced">;
  readonly at: ObjectAt;
  readonly subresource?: string;
  readonly query?: Readonly<Record<string, string>>;
}

/** The newest first. */
const versions = { custom: ["v1beta2", "v1beta1"], external: ["v1beta1"] } as const;

/** Asks the APIs that serve metrics of others, where an APIService has registered them. */
export class MetricApis {
  readonly #kube: KubeClient;

  constructor(kube: KubeClient) {
    this.#kube = kube;
  }

  /** Undefined for metrics of resources, which are measured here. @param selector of the pods that are scaled */
  async read(
    spec: MetricSpec,
    { namespace, selector }: { readonly namespace: string; readonly selector: string },
  ): Promise<MetricReading | undefined> {
    const asked = askedFor(spec, namespace, selector);
    if (!asked) return undefined;
    if (typeof asked === "string") return { ok: false, problem: asked };
    try {
      const { items = [] } = await this.#ask(asked);
      return { ok: true, values: items.map(valueOf) };
    } catch (error) {
      return {
        ok: false,
        problem: `unable to fetch metrics from ${asked.api} metrics API: ${describeError(error)}`,
      };
    }
  }

  async #ask({ api, path, at, subresource, query = {} }: Asked): Promise<ValueList> {
    const [newest, ...older] = versions[api];
    const type = { ...path, group: `${api}.metrics.k8s.io`, kind: "MetricValueList" };
    const get = (version: string): Promise<ValueList> =>
      this.#kube.get<ValueList>({ ...type, version }, at, {
        query,
        ...(subresource !== undefined && { subresource }),
      });
    for (const version of [newest, ...older].slice(0, -1))
      try {
        return await get(version);
      } catch (error) {
        if (!isKubeError(error, 404)) throw error;
      }
    return get(older.at(-1) ?? newest);
  }
}

function askedFor(spec: MetricSpec, namespace: string, selector: string): Asked | string | undefined {
  if (spec.pods)
    return {
      api: "custom",
      path: { plural: "pods", namespaced: true },
      at: { namespace, name: "*" },
      subresource: encodeURIComponent(spec.pods.metric.name),
      query: { labelSelector: selector, ...metricSelector(spec.pods.metric, "metricLabelSelector") },
    };
  if (spec.object) return askedForObject(spec.object.describedObject, spec.object.metric, namespace);
  if (!spec.external) return undefined;
  const { metric } = spec.external;
  return {
    api: "external",
    path: { plural: "", namespaced: true },
    at: { namespace, name: metric.name },
    query: metricSelector(metric, "labelSelector"),
  };
}

function askedForObject(
  { apiVersion = "v1", kind, name }: DescribedObject,
  metric: MetricIdentifier,
  namespace: string,
): Asked | string {
  const subresource = encodeURIComponent(metric.name);
  const query = metricSelector(metric, "metricLabelSelector");
  if (kind === "Namespace")
    return {
      api: "custom",
      path: { plural: "metrics", namespaced: true },
      at: { namespace: name, name: metric.name },
      query,
    };
  const found = findKind(apiVersion, kind);
  if (!found) return `no matches for kind "${kind}" in version "${apiVersion}"`;
  const plural = found.group === "" ? found.plural : `${found.plural}.${found.group}`;
  const at = found.namespaced ? { namespace, name } : { name };
  return { api: "custom", path: { plural, namespaced: found.namespaced }, at, subresource, query };
}

function metricSelector({ selector }: MetricIdentifier, parameter: string): Record<string, string> {
  return selector ? { [parameter]: formatLabelSelector(selector) } : {};
}

function valueOf({
  describedObject,
  timestamp = "",
  value,
}: NonNullable<ValueList["items"]>[number]): MetricValue {
  // Rounded up as Kubernetes' MilliValue.
  const thousandths = Math.ceil((quantityNumber(value) ?? 0) * 1000 - 1e-6);
  return { object: describedObject?.name ?? "", value: thousandths, timestamp };
}
