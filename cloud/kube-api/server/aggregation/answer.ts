import type { User } from "#cloud/kube-api/auth";
import {
  callService,
  describeFailure,
  destinationOfService,
  type Destination,
  type ReachPod,
  type ServiceAnswer,
  type Trust,
} from "#cloud/kube-api/http/service-calls";
import type { RevisionStore } from "#cloud/kube-api/store";
import { endToEndHeaders } from "#shared/streams";
import { connectionOfSocket, type UpgradeOffer } from "#shared/upgrades";
import type { Aggregated } from "./aggregation.ts";
import type { ApiService } from "./api-service.ts";
import { isIdentityHeader, userHeaders } from "./user-headers.ts";

export interface AnswerParts {
  readonly store: RevisionStore;
  /** The client certificate by which servers know this API. */
  readonly identity: Trust["identity"];
  readonly reach: ReachPod;
}

/** An authenticated and authorized request. */
export interface AggregatedRequested {
  readonly request: Request;
  /** with its query, as it is passed on */
  readonly path: string;
  readonly user: User;
  /** Of a request for a resource; a watch may be asked for by the path or the query. */
  readonly verb?: string;
  readonly offer?: UpgradeOffer | undefined;
}

/** Names this API to itself: a request that comes back here would go round for ever. */
const passage = "kubeedge-aggregation";

/** Passes a request on to the server of an APIService, and answers with its response. */
export async function answerAggregated(
  parts: AnswerParts,
  { service, isAvailable }: Aggregated,
  asked: AggregatedRequested,
): Promise<Response> {
  if ((asked.request.headers.get("via") ?? "").includes(passage))
    return plain(508, "this request was passed on by this API already");
  if (!isAvailable) return plain(503, "service unavailable");
  let destination: Destination;
  try {
    destination = destinationOfService(service.service, parts.store);
  } catch {
    return plain(503, "service unavailable");
  }
  try {
    return await pass(parts, { service, destination }, asked);
  } catch (error) {
    return plain(503, `error trying to reach service: ${describeFailure(error, destination)}`);
  }
}

async function pass(
  { identity, reach }: AnswerParts,
  { service, destination }: { readonly service: ApiService; readonly destination: Destination },
  { request, path, user, verb, offer }: AggregatedRequested,
): Promise<Response> {
  const isRead = request.method === "GET" || request.method === "HEAD";
  const gone = new AbortController();
  request.signal.addEventListener("abort", () => gone.abort(), { once: true });
  void offer?.left.then(() => gone.abort());
  const call = {
    method: request.method,
    path,
    headers: headersFor(request, user, offer),
    body: isRead ? null : request.body,
    signal: gone.signal,
  };
  const { ca, insecure } = service;
  const answer = await callService(destination, { ca, insecure, identity }, call, reach);
  if (answer.upgraded) return connect(answer, offer);
  const { status, body, headers } = answer.response;
  const kept = endToEndHeaders(headers).filter(([name]) => name !== "content-length");
  const isJson = headers.get("content-type")?.startsWith("application/json") === true;
  const isWatch = status === 200 && isJson && verb === "watch";
  return new Response(isWatch && body && !headers.has("content-encoding") ? begun(body) : body, {
    status,
    headers: kept.map(([name, value]): [string, string] => [name, value]),
  });
}

/** The headers of an answer are sent with its first byte: an idle watch gets one that means nothing between its objects. */
function begun(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({ start: (controller) => controller.enqueue(newLine()) }),
  );
}

function newLine(): Uint8Array {
  return Uint8Array.of(0x0a);
}

/** The user's credentials stay here, and nobody claims to be another: only this API says who asks. */
function headersFor(
  request: Request,
  user: User,
  offer: UpgradeOffer | undefined,
): (readonly [string, string])[] {
  const url = new URL(request.url);
  const upgrade = offer && [["connection", "Upgrade"] as const, ["upgrade", offer.protocol] as const];
  const length = request.headers.get("content-length");
  return [
    ...endToEndHeaders(request.headers).filter(
      ([name]) => !isIdentityHeader(name) && name !== "host" && name !== "via" && name !== "content-length",
    ),
    ...(length === null ? [] : [["content-length", length] as const]),
    ...(upgrade ?? []),
    ["via", `1.1 ${passage}`],
    ["x-forwarded-host", url.host],
    ["x-forwarded-uri", url.pathname],
    ["x-forwarded-proto", "https"],
    ...userHeaders(user),
  ];
}

/** Joins the client with the server that goes on in another protocol. */
function connect({ response, upgraded }: ServiceAnswer, offer: UpgradeOffer | undefined): Response {
  if (!upgraded || !offer) {
    upgraded?.socket.destroy();
    return plain(502, "the server goes on in another protocol, which was not asked for");
  }
  const client = offer.toConnection(Object.fromEntries(response.headers));
  const server = connectionOfSocket(upgraded.socket, upgraded.head);
  const lost = (): void => {
    client.destroy();
    server.destroy();
  };
  void client.readable.pipeTo(server.writable).catch(lost);
  void server.readable.pipeTo(client.writable).catch(lost);
  void Promise.race([client.closed, server.closed]).then(lost);
  return new Response();
}

function plain(status: number, text: string): Response {
  return new Response(`${text}\n`, { status, headers: { "Content-Type": "text/plain; charset=utf-8" } });
}
