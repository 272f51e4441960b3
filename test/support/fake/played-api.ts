import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { KubeObject } from "#shared/kube";

/** How the played server answers the next watch: it may only do what a real server or a bad link does. */
export type WatchScript = (watch: PlayedWatch) => void;

export interface PlayedWatch {
  /** The resourceVersion asked for. */
  readonly from: string;
  /** Sends a change as one line. */
  send(type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR", object: unknown): void;
  /** Sends bytes as they are. */
  raw(text: string): void;
  /** Ends the body in order, as a server does when the watch's time is up. */
  end(): void;
  /** Resets the connection. */
  cut(): void;
  /** Answers a Status instead of a watch; only before anything was sent. */
  refuse(code: number, reason: string): void;
}

export interface PlayedApi extends AsyncDisposable {
  readonly url: string;
  /** What was asked: `list`, or `watch <resourceVersion>`, or the method. */
  readonly asked: string[];
  /** What lists answer; with `expires`, a list asked for in pages is refused with 410 after its first. */
  state: { version: string; items: KubeObject[]; expires?: boolean };
  /** One for each watch to come; a watch past the last script is held open silently. */
  readonly watches: WatchScript[];
  /** Statuses that the next requests other than watches get instead of an answer. */
  readonly refusals: { readonly code: number; readonly retryAfter?: string }[];
}

/** A server of one collection that lists and watches by script, over plain http. */
export async function playApi(): Promise<PlayedApi> {
  const api: State = { asked: [], state: { version: "1", items: [] }, watches: [], refusals: [] };
  const server = createServer((request, response) => answer(api, request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return Object.assign(api, {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

type State = Omit<PlayedApi, "url" | typeof Symbol.asyncDispose>;

function answer(api: State, request: IncomingMessage, response: ServerResponse): void {
  const query = new URL(request.url ?? "", "http://played").searchParams;
  const isWatch = query.get("watch") === "true";
  const from = query.get("resourceVersion") ?? "";
  api.asked.push(isWatch ? `watch ${from}` : request.method === "GET" ? "list" : `${request.method}`);
  if (isWatch) {
    const script = api.watches.shift();
    if (script) script(playedWatch(from, response));
    else response.writeHead(200).flushHeaders();
    return;
  }
  const refusal = query.has("continue") ? { code: 410 } : api.refusals.shift();
  if (refusal) refuse(response, refusal);
  else answerList(api, query, response);
}

function refuse(response: ServerResponse, refusal: { code: number; retryAfter?: string }): void {
  const { code, retryAfter } = refusal;
  response.writeHead(code, retryAfter ? { "retry-after": retryAfter } : {});
  response.end(JSON.stringify(status(code, "Refused")));
}

function answerList(api: State, query: URLSearchParams, response: ServerResponse): void {
  const { version, items, expires } = api.state;
  const next = expires && query.has("limit") ? { continue: "next" } : {};
  const metadata = { resourceVersion: version, ...next };
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ kind: "ConfigMapList", apiVersion: "v1", metadata, items }));
}

function playedWatch(from: string, response: ServerResponse): PlayedWatch {
  return {
    from,
    send: (type, object) => void response.write(`${JSON.stringify({ type, object })}\n`),
    raw: (text) => void response.write(text),
    end: () => void response.end(),
    cut: () => void response.socket?.resetAndDestroy(),
    refuse: (code, reason) => {
      response.writeHead(code, { "content-type": "application/json" });
      response.end(JSON.stringify(status(code, reason)));
    },
  };
}

function status(code: number, reason: string): object {
  return { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message: `played ${reason}` };
}
