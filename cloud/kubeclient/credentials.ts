import type { RequestOptions } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import { ConfigError } from "#shared/errors";
import type { Clock } from "#shared/clock";

/** Where the API is and who we are there. */
export type KubeOptions =
  /** `master` replaces the server of the file's current context. */
  | { readonly from: "kubeconfig"; readonly path: string; readonly master?: string }
  /** A URL without credentials, as a plain http port of an API server or of `kubectl proxy`. */
  | { readonly from: "master"; readonly url: string }
  | ({ readonly from: "inline" } & InlineServer)
  | { readonly from: "in-cluster" };

export interface InlineServer {
  readonly server: string;
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

interface Prepared {
  readonly headers: Record<string, string>;
  readonly extras: { readonly tls?: Record<string, unknown>; readonly proxy?: string };
  readonly untilMs: number;
}

const reuseMs = 30_000;

/** @throws ConfigError when the options name no usable server. */
export async function createSender(options: KubeOptions, clock: Clock): Promise<Sender> {
  if (options.from === "master") return networkSender(checkUrl(options.url), async () => plain, clock);
  if (options.from === "inline") {
    const credentials = inlineCredentials(options);
    return networkSender(checkUrl(options.server), async () => credentials, clock);
  }
  const config = await loadConfig(options);
  const cluster = config.getCurrentCluster();
  if (!cluster) throw new ConfigError("kube-config", `Cannot use ${describe(options)}: no current cluster`);
  return networkSender(checkUrl(cluster.server), () => prepare(config), clock);
}

type Credentials = Omit<Prepared, "untilMs">;
const plain: Credentials = { headers: {}, extras: {} };

function networkSender(server: string, prepareNow: () => Promise<Credentials>, clock: Clock): Sender {
  let cached: Prepared | undefined;
  const prepared = async (): Promise<Prepared> => {
    const nowMs = clock.monotonicMs();
    if (!cached || cached.untilMs <= nowMs) cached = { ...(await prepareNow()), untilMs: nowMs + reuseMs };
    return cached;
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
    forget: () => (cached = undefined),
  };
}

type NamedOptions = Extract<KubeOptions, { from: "kubeconfig" | "in-cluster" }>;

async function loadConfig(options: NamedOptions): Promise<KubeConfig> {
  // Loaded on demand: the library costs tens of megabytes that the embedded API does not need.
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  try {
    fillConfig(config, options);
  } catch (error) {
    throw new ConfigError("kube-config", `Cannot use ${describe(options)}`, { cause: error });
  }
  return config;
}

function fillConfig(config: KubeConfig, options: NamedOptions): void {
  if (options.from === "in-cluster") {
    config.loadFromCluster();
    return;
  }
  config.loadFromFile(options.path);
  const { master } = options;
  if (!master) return;
  const name = config.getCurrentCluster()?.name;
  config.clusters = config.clusters.map((cluster) =>
    cluster.name === name ? { ...cluster, server: master } : cluster,
  );
}

/** What is given whole needs no library to read it. */
function inlineCredentials(inline: InlineServer): Credentials {
  const named = { ca: inline.caPem, cert: inline.clientCertPem, key: inline.clientKeyPem };
  const tls = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
  return {
    headers: inline.token === undefined ? {} : { Authorization: `Bearer ${inline.token}` },
    extras: { tls },
  };
}

/** Asks the library for headers and TLS material: files are read, tokens fetched, login commands run. */
async function prepare(config: KubeConfig): Promise<Credentials> {
  const options: RequestOptions & { headers?: Record<string, unknown> } = {};
  await config.applyToHTTPSOptions(options);
  const headers = Object.fromEntries(
    Object.entries(options.headers ?? {}).map(([name, value]) => [name, String(value)]),
  );
  const basic = options.auth;
  if (typeof basic === "string") headers["Authorization"] = `Basic ${Buffer.from(basic).toString("base64")}`;
  const cluster = config.getCurrentCluster();
  const named = {
    ca: options.ca,
    cert: options.cert,
    key: options.key,
    passphrase: options.passphrase,
    serverName: cluster?.tlsServerName,
    rejectUnauthorized: cluster?.skipTLSVerify ? false : undefined,
  };
  const tls = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
  const proxy = cluster?.proxyUrl;
  return { headers, extras: { tls, ...(proxy ? { proxy } : {}) } };
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:")
    throw new ConfigError("kube-server", `Cannot use "${text}" as Kubernetes API: expected an http(s) URL`);
  return text.replace(/\/+$/, "");
}

function describe(options: NamedOptions): string {
  return options.from === "kubeconfig" ? `kubeconfig "${options.path}"` : "the pod's service account";
}
