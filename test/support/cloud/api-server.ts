import { startApiServer, type Admission, type ApiServer, type ApiServerConfig } from "#cloud/kube-api/server";
import type { CloudFigures } from "#cloud/usage";
import { systemClock, type Clock } from "#shared/clock";
import { createAuthority, type Authority } from "#shared/pki";
import { silentLog } from "#internal/test/support/silent-log.ts";

export const adminToken = "admin-token-of-the-test";
/** Of the server's own client. */
export const ownToken = "own-token-of-the-test";

export interface TestServer extends AsyncDisposable {
  readonly api: ApiServer;
  readonly caPem: string;
  /** The CA by which aggregated servers know this API. */
  readonly proxyCaPem: string;
  /** The CA of client certificates. */
  readonly clients: Authority;
  readonly log: ReturnType<typeof silentLog>;
  /** Calls the API as the administrator unless headers identify another user. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  stream(path: string, signal?: AbortSignal): Promise<Response>;
  /** A body as it is. */
  raw(method: string, path: string, body: Uint8Array, type?: string): Promise<Response>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

/** A JSON body that tests look into. */
export interface Body {
  readonly [field: string]: Body;
}

/** An embedded API server on a free port of the loopback. */
export async function startTestServer(
  dataDir: string,
  options: {
    readonly clock?: Clock;
    readonly historyRevisions?: number;
    readonly port?: number;
    readonly admit?: Admission;
    readonly streams?: ApiServerConfig["streams"];
    readonly figures?: CloudFigures;
  } = {},
): Promise<TestServer> {
  const nowMs = Date.now();
  const authority = await createAuthority({ commonName: "test-ca", days: 1, nowMs });
  const pair = await authority.issue({
    subject: { commonName: "apiserver" },
    hosts: ["127.0.0.1", "localhost"],
    usage: "server",
    days: 1,
    nowMs,
  });
  const clients = await createAuthority({ commonName: "test-clients", days: 1, nowMs });
  const proxy = await createAuthority({ commonName: "test-proxy", days: 1, nowMs });
  const proxyName = { commonName: "front-proxy-client" };
  const log = silentLog();
  const { clock = systemClock, historyRevisions, port = 0, admit, streams, figures } = options;
  const api = await startApiServer(
    {
      address: "127.0.0.1",
      port,
      dataDir,
      tls: { certPem: pair.cert, keyPem: pair.key, caPem: authority.certPem },
      adminToken,
      clientCaPem: clients.certPem,
      proxyIdentity: await proxy.issue({ subject: proxyName, usage: "client", days: 1, nowMs }),
      ...(historyRevisions !== undefined && { historyRevisions }),
      ownToken,
      ...(admit && { admit }),
      ...(streams && { streams }),
    },
    { clock, log, ...(figures && { figures: figures.text, countRequest: figures.countRequest }) },
  );
  const request = (path: string, init: BunFetchRequestInit): Promise<Response> =>
    fetch(`${api.url}${path}`, {
      ...init,
      tls: { ca: authority.certPem },
      timeout: false,
    } as BunFetchRequestInit);
  const authorization = `Bearer ${adminToken}`;
  return {
    api,
    caPem: authority.certPem,
    proxyCaPem: proxy.certPem,
    clients,
    log,
    call: async (method, path, body, headers = {}) => {
      const response = await request(path, {
        method,
        headers: headersOf(authorization, body, headers),
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, headers: response.headers, body: parse(text) };
    },
    raw: (method, path, body, type = "application/json") =>
      request(path, { method, headers: { authorization, "content-type": type }, body: new Uint8Array(body) }),
    stream: (path, signal) => request(path, { headers: { authorization }, ...(signal && { signal }) }),
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}

function parse(text: string): Body {
  try {
    return JSON.parse(text) as Body;
  } catch {
    return { text: text as unknown as Body };
  }
}

function headersOf(authorization: string, body: unknown, more: Record<string, string>): Headers {
  const headers = new Headers({
    authorization,
    ...(body !== undefined && { "content-type": "application/json" }),
  });
  for (const [name, value] of Object.entries(more)) headers.set(name, value);
  return headers;
}

/** A text at a path of a body. */
export function textAt(body: Body | undefined, ...path: readonly string[]): string {
  let at: unknown = body;
  for (const step of path) at = (at as Body | undefined)?.[step];
  if (typeof at !== "string") throw new Error(`no text at ${path.join(".")}`);
  return at;
}
