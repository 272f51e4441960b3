import type { Clock } from "#shared/clock";
import { ConfigError } from "#shared/errors";
import { openKubeServer, type KubeOptions } from "./credentials.ts";
import type { RequestCredentials } from "./kubeconfig.ts";

/** Sends requests of others to the API: with the credentials they carry, and none of this process. */
export interface Passage {
  /**
   * @param path with the query, from the first "/" on
   * @throws what `fetch` throws when the API cannot be reached
   */
  send(path: string, init: RequestInit): Promise<Response>;
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
  let kept: { readonly extras: Record<string, unknown>; readonly untilMs: number } | undefined;
  return {
    send: async (path, init) => {
      const nowMs = clock.monotonicMs();
      if (!kept || kept.untilMs <= nowMs) {
        const credentials = await read(kept !== undefined);
        kept = { extras: trustOf(credentials), untilMs: nowMs + reuseMs };
      }
      // Bodies pass as they are, and a silent watch lasts. The types of Bun 1.4 lack `timeout`.
      const passing = {
        decompress: false,
        redirect: "manual",
        timeout: false,
        ...kept.extras,
      } as RequestInit;
      return fetch(server + path, { ...init, ...passing });
    },
  };
}

/** How the server is reached and recognized, without what shows who is asking: neither client certificate nor headers. */
function trustOf({ extras }: RequestCredentials): Record<string, unknown> {
  const { cert: _cert, key: _key, passphrase: _passphrase, ...tls } = extras.tls ?? {};
  return { ...extras, tls };
}
