import { ConfigError } from "#shared/errors";
import { nextTurn, type Clock } from "#shared/clock";
import {
  loadConfig,
  readKubeCredentials,
  type KubeConfigSource,
  type RequestCredentials,
} from "./kubeconfig.ts";

/** Where the API server is, and with which credentials it is used. */
export type KubeOptions =
  | KubeConfigSource
  /** A URL without credentials, as a plain http port of an API server or of `kubectl proxy`. */
  | { readonly from: "master"; readonly url: string }
  | ({ readonly from: "inline" } & InlineServer);

export interface InlineServer {
  readonly server: string;
  /** The Unix socket where it is reached. */
  readonly socket?: string;
  /** Of a server in this process: answers the requests of a client without a connection. */
  readonly answer?: (request: Request) => Promise<Response>;
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
  /** The server answered 401: read the credentials again for the next request. */
  forget(): void;
}

/** Reads credentials; `fresh` means past every cache. */
export type CredentialSource = (fresh: boolean) => Promise<RequestCredentials>;

/** Files and tokens are read again this often: rotated credentials are valid for minutes beside their successors. */
const reuseMs = 30_000;

/** A server and the credentials that the options give for it. */
export interface KubeServer {
  /** Without a slash at the end. */
  readonly server: string;
  readonly read: CredentialSource;
}

/** @throws ConfigError when the options name no usable server. */
export async function createSender(options: KubeOptions, clock: Clock): Promise<Sender> {
  const { server, read } = await openKubeServer(options);
  const send = options.from === "inline" && options.answer ? inProcess(options.answer) : overNetwork;
  return authenticatedSender(server, read, { clock, send });
}

/** @throws ConfigError when the options name no usable server. */
export async function openKubeServer(options: KubeOptions): Promise<KubeServer> {
  if (options.from === "master") return { server: checkUrl(options.url), read: async () => plain };
  if (options.from === "inline") {
    const credentials = inlineCredentials(options);
    return { server: checkUrl(options.server), read: async () => credentials };
  }
  let config = await loadConfig(options);
  return {
    server: checkUrl(config.getCurrentCluster()?.server ?? ""),
    read: async (fresh) => {
      // The library caches tokens for a minute, in the configuration.
      if (fresh) config = await loadConfig(options);
      return readKubeCredentials(config);
    },
  };
}

/** The CA that the server is recognized by (PEM), if the options name one. @throws ConfigError when they cannot be read */
export async function clusterCaOf(options: KubeOptions): Promise<string | undefined> {
  const { read } = await openKubeServer(options);
  const ca = (await read(false)).extras.tls?.["ca"];
  return typeof ca === "string" || Buffer.isBuffer(ca) ? String(ca) : undefined;
}

const plain: RequestCredentials = { headers: {}, extras: {} };

/** Sends a request that has its credentials. */
type Send = (url: string, init: RequestInit & RequestCredentials["extras"]) => Promise<Response>;

// Bun's own timeout is off, as it aborts a silent watch; the caller's signal limits the time. Its type lacks it.
const overNetwork: Send = (url, init) => fetch(url, { ...init, timeout: false } as RequestInit);

/** Each request waits for the next turn of the event loop: a caller that makes thousands lets sockets be read in between. */
function inProcess(answer: (request: Request) => Promise<Response>): Send {
  return async (url, { method, headers, body, signal }) => {
    await nextTurn();
    signal?.throwIfAborted();
    return answer(new Request(url, { method, headers, body, signal } as RequestInit));
  };
}

function authenticatedSender(
  server: string,
  read: CredentialSource,
  { clock, send }: { readonly clock: Clock; readonly send: Send },
): Sender {
  let cached: { readonly credentials: RequestCredentials; readonly untilMs: number } | undefined;
  let isRefused = false;
  const prepared = async (): Promise<RequestCredentials> => {
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
      const all = new Headers(init.headers);
      for (const [name, value] of Object.entries(headers)) all.set(name, value);
      return send(url, { ...init, ...extras, headers: all });
    },
    forget: () => (isRefused = true),
  };
}

function inlineCredentials(inline: InlineServer): RequestCredentials {
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
