import { childOf, metadataOf, type JsonObject } from "#shared/json";
import {
  answerPodRequest,
  type PodRequested,
  type PodRequestParts,
  type PodStreamName,
} from "#shared/pod-requests";
import { PodRefusal, refusePod } from "#shared/pod-streams";
import type { UpgradeOffer } from "#shared/upgrades";

export interface KubeletApiParts extends PodRequestParts {
  /** The pod as the API has it. @throws PodRefusal when there is none */
  readonly findPod: (namespace: string, name: string) => Promise<JsonObject>;
}

/** What a path of a kubelet's server asks of a pod. */
export interface KubeletTarget {
  readonly subresource: PodStreamName;
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
  readonly container?: string;
}

const families: Readonly<
  Record<string, { readonly subresource: PodStreamName; readonly methods: readonly string[] }>
> = {
  containerLogs: { subresource: "log", methods: ["GET"] },
  exec: { subresource: "exec", methods: ["GET", "POST"] },
  attach: { subresource: "attach", methods: ["GET", "POST"] },
  portForward: { subresource: "portforward", methods: ["GET", "POST"] },
};

/** Options of a process that a kubelet calls otherwise than the API. */
const optionNames: ReadonlyMap<string, string> = new Map([
  ["input", "stdin"],
  ["output", "stdout"],
  ["error", "stderr"],
  ["port", "ports"],
]);

/** Undefined for a path that is not about a pod. */
export function kubeletTarget(method: string, path: string): KubeletTarget | undefined {
  const [family = "", ...encoded] = path.split("/").slice(1);
  const found = Object.hasOwn(families, family) ? families[family] : undefined;
  const parts = decodeAll(encoded);
  if (!found?.methods.includes(method) || !parts || parts.includes("")) return undefined;
  const { subresource } = found;
  return subresource === "portforward" ? podOf(subresource, parts) : containerOf(subresource, parts);
}

/** `namespace/pod` or `namespace/pod/uid` */
function podOf(subresource: PodStreamName, parts: readonly string[]): KubeletTarget | undefined {
  const [namespace, name, uid, ...more] = parts;
  if (namespace === undefined || name === undefined || more.length > 0) return undefined;
  return { subresource, namespace, name, ...(uid !== undefined && { uid }) };
}

/** The same with a container at its end. */
function containerOf(subresource: PodStreamName, parts: readonly string[]): KubeletTarget | undefined {
  const container = parts.at(-1);
  const pod = podOf(subresource, parts.slice(0, -1));
  return pod && container !== undefined ? { ...pod, container } : undefined;
}

/**
 * Answers a request to a kubelet's server about a pod, as kube-apiserver makes them (`pkg/kubelet/server`). Refusals are texts,
 * as kubelet's are. Never rejects for a refusal.
 */
export async function answerKubeletRequest(
  parts: KubeletApiParts,
  request: Request,
  { target, offer }: { readonly target: KubeletTarget; readonly offer: UpgradeOffer | undefined },
): Promise<Response> {
  try {
    const pod = await findPod(parts, target);
    const query = queryOf(new URL(request.url).searchParams, target.container);
    const asked: PodRequested = { subresource: target.subresource, pod, request, query, offer };
    return await answerPodRequest(parts, asked);
  } catch (error) {
    if (error instanceof PodRefusal) return refusalText(error);
    throw error;
  }
}

export function refusalText({ httpStatus: status, message }: PodRefusal): Response {
  // The API server puts these words before the text of a kubelet.
  const text = message.replace(/^Internal error occurred: /, "");
  return new Response(`${text}\n`, { status, headers: { "Content-Type": "text/plain; charset=utf-8" } });
}

async function findPod(parts: KubeletApiParts, { namespace, name, uid }: KubeletTarget): Promise<JsonObject> {
  const pod = await parts.findPod(namespace, name);
  // A later pod of the same name is another one.
  if (uid !== undefined && metadataOf(pod).uid !== uid) throw refusePod.notFound("pod does not exist");
  if (!childOf(pod, "spec")) throw refusePod.notFound("pod does not exist");
  return pod;
}

function queryOf(given: URLSearchParams, container: string | undefined): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of given)
    if (name !== "container") query.append(optionNames.get(name) ?? name, value);
  if (container !== undefined) query.set("container", container);
  return query;
}

function decodeAll(parts: readonly string[]): string[] | undefined {
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return undefined;
  }
}
