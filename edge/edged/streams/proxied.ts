import type { PodStatus } from "#shared/kube";
import { PodRefusal, refusePod, type PodProxyRequest } from "#shared/pod-streams";
import { endToEndHeaders, serveOver, type ByteStream } from "#shared/streams";

/** Requests to pods under way: Bun has 256 of a process, and edgecore needs some for its own. */
const mostRequests = 64;

/** Origin of a request whose server is not known yet. */
const unused = "http://pod.invalid";

/** Sends requests of the API's proxy to servers in pods of this node, as kube-apiserver does where it reaches pods itself. */
export class ProxiedRequests {
  #underWay = 0;

  /** Answers the request in the head of a stream. `find` is asked for the pod. Never rejects: a refusal is a response. */
  async serve(
    stream: ByteStream,
    request: PodProxyRequest,
    find: () => PodStatus | undefined,
  ): Promise<void> {
    this.#underWay += 1;
    void stream.closed.then(() => (this.#underWay -= 1));
    await serveOver(stream, unused, async (asked) => {
      try {
        return await this.#send(originOf(request, find()), asked);
      } catch (error) {
        if (!(error instanceof PodRefusal)) throw error;
        return Response.json(error.toStatus(), { status: error.httpStatus });
      }
    });
  }

  async #send(origin: string, asked: Request): Promise<Response> {
    if (this.#underWay > mostRequests)
      throw refusePod.tooMany(`${mostRequests} requests to pods of this node are under way, try again later`);
    try {
      return await fetch(origin + asked.url.slice(unused.length), {
        method: asked.method,
        headers: new Headers(endToEndHeaders(asked.headers).map(([name, value]) => [name, value])),
        body: asked.body,
        signal: asked.signal,
        // The caller follows redirects, and bodies stay as they are.
        redirect: "manual",
        decompress: false,
        // As kube-apiserver: certificates of pods are not verified.
        tls: { rejectUnauthorized: false },
      });
    } catch (error) {
      asked.signal.throwIfAborted();
      throw refusePod.unavailable(`error trying to reach service: ${reasonOf(error)}`);
    }
  }
}

function originOf({ scheme, port, name }: PodProxyRequest, status: PodStatus | undefined): string {
  const address = status?.podIP;
  if (!address) throw refusePod.unavailable(`pod ${name} has no address`);
  return `${scheme}://${address.includes(":") ? `[${address}]` : address}:${port}`;
}

/** Bun adds the URL, and how to find out more. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/ fetching ".*$|\. For more information.*$|\. Is the computer able.*$/s, "");
}
