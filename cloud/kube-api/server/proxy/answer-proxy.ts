import type { User } from "#cloud/kube-api/auth";
import type { RequestTarget } from "#cloud/kube-api/http";
import type { KindRegistry, ObjectService } from "#cloud/kube-api/objects";
import { asRefusal, type NodeStreams } from "#cloud/kube-api/server/pod-streams";
import { Refusal, refusals } from "#cloud/kube-api/status";
import type { Clock } from "#shared/clock";
import { asText, childOf, metadataOf, textOf, type JsonObject } from "#shared/json";
import { refusePod } from "#shared/pod-streams";
import { endToEndHeaders } from "#shared/streams";
import { readProxyName } from "./proxy-name.ts";
import { portOfPod, portOfService, type PodPort } from "./proxy-target.ts";
import { rewritten } from "./rewritten.ts";

export interface ProxyParts {
  readonly nodeStreams: Pick<NodeStreams, "fetch">;
  readonly objects: Pick<ObjectService, "read">;
  readonly registry: Pick<KindRegistry, "find">;
  readonly clock: Pick<Clock, "random">;
}

/** An authorized request to a server in a pod. */
export interface ProxyRequested {
  readonly request: Request;
  readonly target: RequestTarget;
  readonly user: User;
}

/** Credentials for this API are none of the pod's business, and lengths and encodings are those of the connection. */
const keptBack = /^(authorization|host|accept-encoding|impersonate-.*|x-remote-.*)$/;

/**
 * Passes a request to a server in a pod, over the stream to its node, and answers with its response. @throws Refusal when
 * there is no such pod, or its node cannot be reached
 */
export async function answerProxy(parts: ProxyParts, asked: ProxyRequested): Promise<Response> {
  const { request, target, user } = asked;
  const url = new URL(request.url);
  const isRead = request.method === "GET" || request.method === "HEAD";
  if (target.proxyPath === "" && isRead) {
    const headers = { Location: `${url.pathname}/${url.search}` };
    return new Response(null, { status: 301, headers });
  }
  const { pod, scheme, podPort } = podOf(parts, target);
  const node = textOf(childOf(pod, "spec"), "nodeName") ?? "";
  if (node === "") throw refusals.badRequest(`pod ${podPort.pod} does not have a host assigned`);
  const head = {
    method: request.method,
    path: `${target.proxyPath || "/"}${url.search}`,
    headers: headersFor(request, url),
  };
  const wanted = { kind: "proxy", scheme, port: podPort.port, ...identityOf(pod) } as const;
  const body = isRead ? null : request.body;
  try {
    const response = await parts.nodeStreams.fetch(
      node,
      { request: wanted, head, body, user },
      request.signal,
    );
    return rewritten(response, url.pathname.slice(0, url.pathname.length - target.proxyPath.length));
  } catch (error) {
    throw asRefusal(error);
  }
}

function identityOf(pod: JsonObject): { namespace: string; name: string; uid: string } {
  const { namespace, name, uid } = metadataOf(pod);
  return { namespace: asText(namespace), name: asText(name), uid: asText(uid) };
}

function headersFor({ headers }: Request, url: URL): (readonly [string, string])[] {
  return [
    ...endToEndHeaders(headers).filter(([name]) => !keptBack.test(name)),
    // Pages are rewritten, and lead through the proxy again.
    ["accept-encoding", "identity"],
    ["x-forwarded-uri", url.pathname],
    ["x-forwarded-host", url.host],
    ["x-forwarded-proto", "https"],
  ];
}

interface Found {
  readonly pod: JsonObject;
  readonly scheme: "http" | "https";
  readonly podPort: PodPort;
}

function podOf({ objects, registry, clock }: ProxyParts, target: RequestTarget): Found {
  const { namespace, resource } = target;
  const read = (plural: string, name: string): JsonObject => {
    const kind = registry.find("", "v1", plural);
    if (!kind) throw refusals.unknownResource();
    return objects.read({ kind, namespace, name });
  };
  const asked = readProxyName(target.name, resource === "pods" ? "pod" : "service");
  if (resource === "pods") {
    const pod = read("pods", asked.name);
    return { pod, scheme: asked.scheme, podPort: portOfPod(pod, asked) };
  }
  const service = read("services", asked.name);
  const choose = (count: number): number => Math.floor(clock.random() * count);
  const endpoints = orNone(() => read("endpoints", asked.name));
  const podPort = portOfService(service, endpoints, { port: asked.port, choose });
  const pod = read("pods", podPort.pod);
  if (metadataOf(pod)["uid"] !== podPort.uid && podPort.uid !== "")
    throw asRefusal(refusePod.unavailable(`pod ${podPort.pod} is another by now, try again`));
  return { pod, scheme: asked.scheme, podPort };
}

function orNone(read: () => JsonObject): JsonObject | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Refusal && error.httpStatus === 404) return undefined;
    throw error;
  }
}
