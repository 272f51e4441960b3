import { ConfigError } from "#shared/errors";
import type { Clock } from "#shared/clock";
import { loadConfig, readCredentials, type ConfigSource, type Credentials } from "./kubeconfig.ts";

/** Where the API is and who we are there. */
export type KubeOptions =
  | ConfigSource
  /** A URL without credentials, as a plain http port of an API server or of `kubectl proxy`. */
  | { readonly from: "master"; readonly url: string }
  | ({ readonly from: "inline" } & InlineServer);

export interface InlineServer {
  readonly server: string;
  /** The Unix socket where it is reached. */
  readonly socket?: string;
  readonly token?: string;
  readonly caPem?: string;
  readonly clientCertPem?: string;
  readonly clientKeyPem?: string;
}

/** How to send one request. */
export interface Sender {
  /** Without a slash at the end. */
  readonly server: string;
  send(url: string, init: RequestInit): Promise<Response>;
  /** The server refused our credentials: read them again next time. */
  forget(): void;
}

/** Where credentials come from: `fresh` means past all that was remembered. */
type CredentialSource = (fresh: boolean) => Promise<Credentials>;

const reuseMs = 30_000;

/** @throws ConfigError when the options name no usable server. */
export async function createSender(options: KubeOptions, clock: Clock): Promise<Sender> {
  if (options.from === "master") return networkSender(checkUrl(options.url), async () => plain, clock);
  if (options.from === "inline") {
    const credentials = inlineCredentials(options);
    return networkSender(checkUrl(options.server), async () => credentials, clock);
  }
  let config = await loadConfig(options);
  const server = checkUrl(config.getCurrentCluster()?.server ?? "");
  return networkSender(
    server,
    async (fresh) => {
      // The library remembers tokens for a minute; a new configuration has nothing to remember.
      if (fresh) config = await loadConfig(options);
      return readCredentials(config);
    },
    clock,
  );
}

const plain: Credentials = { headers: {}, extras: {} };

function networkSender(server: string, read: CredentialSource, clock: Clock): Sender {
  let cached: { readonly credentials: Credentials; readonly untilMs: number } | undefined;
  let isRefused = false;
  const prepared = async (): Promise<Credentials> => {
    const nowMs = clock.monotonicMs();
    if (!cached || isRefused || cached.untilMs <= nowMs) {
      const fresh = isRefused;
      isRefused = false;
      cached = { credentials: await read(fresh), untilMs: nowMs + reuseMs };
    }
    return cached.credentials;
  };
  return {
    server,
    send: async (url, init) => {
      const { headers, extras } = await prepared();
      // Bun ends a quiet body after minutes unless its own timeout is off; ours are the caller's signal.
      const all = new Headers(init.headers);
      for (const [name, value] of Object.entries(headers)) all.set(name, value);
      return fetch(url, { ...init, ...extras, timeout: false, headers: all } as RequestInit);
    },
    forget: () => (isRefused = true),
  };
}

/** What is given whole needs no library to read it. */
function inlineCredentials(inline: InlineServer): Credentials {
  const named = { ca: inline.caPem, cert: inline.clientCertPem, key: inline.clientKeyPem };
  const tls = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
  return {
    headers: inline.token === undefined ? {} : { Authorization: `Bearer ${inline.token}` },
    extras: { tls, ...(inline.socket !== undefined && { unix: inline.socket }) },
  };
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:")
    throw new ConfigError("kube-server", `Cannot use "${text}" as Kubernetes API: expected an http(s) URL`);
  return text.replace(/\/+$/, "");
}
