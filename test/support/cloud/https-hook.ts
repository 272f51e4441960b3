import { createAuthority } from "#shared/pki";

/** A webhook on a free port of the loopback, with a certificate of its own authority. */
export interface HttpsHook extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** As configurations of webhooks have it. */
  readonly caBundle: string;
  /** Bodies that were sent, parsed. */
  readonly seen: readonly unknown[];
  /** Answers from now on. */
  answer: (body: never, request: Request) => Response | object | Promise<Response | object>;
  forget(): void;
}

export async function startHttpsHook(): Promise<HttpsHook> {
  const nowMs = Date.now();
  const authority = await createAuthority({ commonName: "hook-ca", days: 1, nowMs });
  const pair = await authority.issue({
    subject: { commonName: "hook" },
    hosts: ["127.0.0.1", "hook.default.svc"],
    usage: "server",
    days: 1,
    nowMs,
  });
  const seen: unknown[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    tls: { cert: pair.cert, key: pair.key },
    fetch: async (request) => {
      const body: unknown = await request.json();
      seen.push(body);
      const answer = await hook.answer(body as never, request);
      return answer instanceof Response ? answer : Response.json(answer);
    },
  });
  const port = server.port ?? 0;
  const hook: HttpsHook = {
    url: `https://127.0.0.1:${port}/convert`,
    port,
    caBundle: Buffer.from(authority.certPem).toString("base64"),
    seen,
    answer: () => ({}),
    forget: () => void (seen.length = 0),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return hook;
}
