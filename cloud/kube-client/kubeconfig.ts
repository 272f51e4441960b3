import { readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { dirname, resolve } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";
import { ConfigError } from "#shared/errors";

/** What authenticates a request: headers, and options of fetch for TLS and proxy. */
export interface RequestCredentials {
  readonly headers: Record<string, string>;
  readonly extras: { readonly tls?: Record<string, unknown>; readonly proxy?: string };
}

/** A kubeconfig, or the service account of the pod this process runs in. */
export type KubeConfigSource =
  /** `master` replaces the server of the file's current context. */
  | { readonly from: "kubeconfig"; readonly path: string; readonly master?: string }
  | { readonly from: "in-cluster" };

/** @throws ConfigError when the source cannot be read or names no cluster. */
export async function loadConfig(source: KubeConfigSource): Promise<KubeConfig> {
  // Loaded on demand: the library takes tens of megabytes of memory, which the embedded API does not need.
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  try {
    if (source.from === "in-cluster") config.loadFromCluster();
    else loadFile(config, source);
  } catch (error) {
    throw new ConfigError("kube-config", `Cannot use ${describe(source)}`, { cause: error });
  }
  if (!config.getCurrentCluster())
    throw new ConfigError("kube-config", `Cannot use ${describe(source)}: no current cluster`);
  return config;
}

/** Lets the library make headers and TLS material: it reads files, fetches tokens and runs exec plugins. */
export async function readKubeCredentials(config: KubeConfig): Promise<RequestCredentials> {
  const options: RequestOptions & { headers?: Record<string, unknown> } = {};
  await config.applyToHTTPSOptions(options);
  const headers = Object.fromEntries(
    Object.entries(options.headers ?? {}).map(([name, value]) => [name, String(value).trim()]),
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

function loadFile(
  config: KubeConfig,
  { path, master }: Extract<KubeConfigSource, { from: "kubeconfig" }>,
): void {
  config.loadFromFile(path);
  const current = config.getCurrentCluster()?.name;
  config.clusters = config.clusters.map((cluster) => {
    const server = (cluster.name === current && master) || cluster.server;
    // The library refuses plain http unless TLS verification is off.
    return { ...cluster, server, skipTLSVerify: cluster.skipTLSVerify || isPlain(server) };
  });
  const tokenFiles = tokenFilesOf(readFileSync(path, "utf8"));
  config.users = config.users.map((user) => {
    const tokenFile = tokenFiles.get(user.name);
    if (tokenFile === undefined) return user;
    // As client-go: tokenFile takes precedence over token.
    const { token: _overridden, ...rest } = user;
    const config = { tokenFile: resolve(dirname(path), tokenFile) };
    return { ...rest, authProvider: { name: "tokenFile", config } };
  });
}

interface KubeconfigUsers {
  readonly users?: readonly ({
    readonly name?: string;
    readonly user?: { tokenFile?: string } | null;
  } | null)[];
}

/** Paths by user. The library supports tokenFile for in-cluster configuration only, so it is given these as such. */
function tokenFilesOf(text: string): ReadonlyMap<string, string> {
  // The library has parsed this file: a field of another type has been refused.
  const parsed = Bun.YAML.parse(text) as KubeconfigUsers | null;
  const found = new Map<string, string>();
  for (const entry of parsed?.users ?? [])
    if (entry?.name && entry.user?.tokenFile) found.set(entry.name, entry.user.tokenFile);
  return found;
}

function isPlain(server: string): boolean {
  return server.startsWith("http:");
}

function describe(source: KubeConfigSource): string {
  return source.from === "kubeconfig" ? `kubeconfig "${source.path}"` : "the pod's service account";
}
