import { readFileSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { dirname, resolve } from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";
import { ConfigError } from "#shared/errors";

/** What a request is sent with besides itself. */
export interface Credentials {
  readonly headers: Record<string, string>;
  readonly extras: { readonly tls?: Record<string, unknown>; readonly proxy?: string };
}

/** Where a kubeconfig, or the service account of the pod we run in, says that the API is. */
export type ConfigSource =
  /** `master` replaces the server of the file's current context. */
  | { readonly from: "kubeconfig"; readonly path: string; readonly master?: string }
  | { readonly from: "in-cluster" };

/** @throws ConfigError when the source cannot be read or names no cluster. */
export async function loadConfig(source: ConfigSource): Promise<KubeConfig> {
  // Loaded on demand: the library costs tens of megabytes that the embedded API does not need.
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

/** Asks the library for headers and TLS material: files are read, tokens fetched, login commands run. */
export async function readCredentials(config: KubeConfig): Promise<Credentials> {
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

function loadFile(config: KubeConfig, { path, master }: Extract<ConfigSource, { from: "kubeconfig" }>): void {
  config.loadFromFile(path);
  const current = config.getCurrentCluster()?.name;
  config.clusters = config.clusters.map((cluster) => {
    const server = (cluster.name === current && master) || cluster.server;
    // The library refuses plain http unless told not to verify what is not there.
    return { ...cluster, server, skipTLSVerify: cluster.skipTLSVerify || isPlain(server) };
  });
  const tokenFiles = tokenFilesOf(readFileSync(path, "utf8"));
  config.users = config.users.map((user) => {
    const tokenFile = tokenFiles.get(user.name);
    if (tokenFile === undefined) return user;
    const { token: _olderThanTheFile, ...rest } = user;
    const config = { tokenFile: resolve(dirname(path), tokenFile) };
    return { ...rest, authProvider: { name: "tokenFile", config } };
  });
}

/** The library knows token files of pods only; those of a kubeconfig's users are handed to it as such. */
function tokenFilesOf(text: string): ReadonlyMap<string, string> {
  const parsed = Bun.YAML.parse(text) as {
    users?: ({ name?: string; user?: { tokenFile?: string } | null } | null)[] | null;
  } | null;
  const found = new Map<string, string>();
  for (const entry of parsed?.users ?? [])
    if (entry?.name && entry.user?.tokenFile) found.set(entry.name, entry.user.tokenFile);
  return found;
}

function isPlain(server: string): boolean {
  return server.startsWith("http:");
}

function describe(source: ConfigSource): string {
  return source.from === "kubeconfig" ? `kubeconfig "${source.path}"` : "the pod's service account";
}
