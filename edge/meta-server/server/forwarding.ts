import { endToEndHeaders } from "#shared/streams";
import type { CloudApi } from "#edge/meta-server/cloud";

/** Lengths are those of one connection, and what the client calls this server is nothing to the API. */
const ownHeaders: ReadonlySet<string> = new Set(["content-length", "host"]);

/**
 * Passes a request on to the API in the cloud, with the credentials of its caller.
 * @throws UnavailableError or ClosedError when the API cannot be asked
 */
export async function forward(api: CloudApi, request: Request, path: string): Promise<Response> {
  const { method, signal, body } = request;
  const headers = endToEndHeaders(request.headers).filter(([name]) => name !== "host");
  const response = await api.send({ method, path, headers, body, signal });
  const kept = [...response.headers].filter(([name]) => !ownHeaders.has(name));
  const answer = isWatchPath(path) && response.body ? untilCut(response.body) : response.body;
  return new Response(answer, {
    status: response.status,
    headers: kept.map(([name, value]): [string, string] => [name, value]),
  });
}

function isWatchPath(path: string): boolean {
  return /[?&]watch=(?:true|1)(?:&|$)/.test(path);
}

/** A watch ends when the link is cut: its client, which knows the version it has seen, watches again and learns more. */
function untilCut(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const next = await reader.read().catch(() => undefined);
        if (!next || next.done) controller.close();
        else controller.enqueue(next.value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
