import { createPassage, type KubeOptions, type Passage } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { ConfigError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { CloudCatalog } from "#shared/topics";
import { ApiProxy } from "./api-proxy.ts";

export { ApiProxy, type ApiProxyOptions } from "./api-proxy.ts";

export type ApiProxyPort = Port<CloudCatalog, never, never, never, "api.stream">;

export interface ApiProxyDeps {
  readonly port: ApiProxyPort;
  /** How cloudcore reaches its Kubernetes API; of this the address and the CA are used, and no credentials. */
  readonly access: KubeOptions;
  /** Whether requests of nodes are passed on. */
  readonly enabled: boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Answers the streams of nodes for the Kubernetes API. */
export async function startApiProxy(deps: ApiProxyDeps): Promise<Disposable> {
  const { port, clock, log } = deps;
  const proxy = new ApiProxy({ passage: await passageOf(deps), clock, log });
  return port.answer("api.stream", async ({ node, stream }) => {
    void proxy.serve(node, stream);
    return undefined;
  });
}

async function passageOf({ access, enabled, clock, log }: ApiProxyDeps): Promise<Passage | undefined> {
  if (!enabled) return undefined;
  try {
    return await createPassage(access, clock);
  } catch (error) {
    if (!(error instanceof ConfigError) || error.code !== "plain-api") throw error;
    log.warn("nodes cannot use the Kubernetes API through their link", { error });
    return undefined;
  }
}
