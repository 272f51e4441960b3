import type { Clock } from "#shared/clock";
import { ConfigError } from "#shared/errors";
import { openKubeServer, type KubeOptions } from "./credentials.ts";
import type { RequestCredentials } from "./kubeconfig.ts";

/** Sends requests of others to the API. */
export interface Passage {
  /**
   * With the credentials that the request carries, and none of this process.
   * @param path with the query, from the first "/" on
   * @throws what `fetch` throws when the API cannot be reached
   */
  send(path: string, init: RequestInit): Promise<Response>;
  /** Reads as this process: for what every user of the API may read. @throws as `send` */
  readAsSelf(path: string, init: Pick<RequestInit, "headers" | "signal">): Promise<Response>;
}

/** A CA that was replaced is read again within this time. */
const reuseMs = 30_000;

/**
 * @throws ConfigError when the options name no usable server, or one that is reached without TLS: such a port, as that of
 * `kubectl proxy`, may give every request the rights of its owner
 */
export async function createPassage(options: KubeOptions, clock: Clock): Promise<Passage> {
  const { server, read } = await openKubeServer(options);
  const hasSocket = options.from === "inline" && options.socket !== undefined;
  if (!hasSocket && !server.startsWith("https:"))
    throw new ConfigError(
      "plain-api",
      `Cannot pass requests on to "${server}": it may give requests without a token the rights of its owner; name an https URL`,
    );
  let kept: { readonly credentials: RequestCredentials; readonly untilMs: number } | undefined;
  const current = async (): Promise<RequestCredentials> => {
    const nowMs = clock.monotonicMs();
    if (!kept || kept.untilMs <= nowMs)
      kept = { credentials: await read(kept !== undefined), untilMs: nowMs + reuseMs };
    return kept.credentials;
  };
  // Bodies pass as they are, and a silent watch lasts. The types of Bun 1.4 lack `timeout`.
  const passing = { decompress: false, redirect: "manual", timeout: false } as RequestInit;
  return {
    send: async (path, init) => fetch(server + path, { ...init, ...passing, ...trustOf(await current()) }),
    readAsSelf: async (path, { headers, signal }) => {
      const credentials = await current();
      const own = new Headers(headers);
      for (const [name, value] of Object.entries(credentials.headers)) own.set(name, value);
      const init = { headers: own, ...(signal && { signal }), ...passing, ...credentials.extras };
      return fetch(server + path, init);
    },
  };
}

/** How the server is reached and recognized, without what shows who is asking: neither client certificate nor headers. */
function trustOf({ extras }: RequestCredentials): Record<string, unknown> {
  const { cert: _cert, key: _key, passphrase: _passphrase, ...tls } = extras.tls ?? {};
  return { ...extras, tls };
}
