import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import type { ContainerRuntime } from "#edge/runtime";
import { openCriRuntime } from "#edge/runtime/cri";
import { openDockerRuntime } from "#edge/runtime/docker";
import type { ProcessesConfig } from "#edge/runtime/process";
import type { RuntimeEndpoint } from "./endpoint.ts";
import { AwaitedRuntime } from "./awaited-runtime.ts";
import { endProcesses } from "./end-processes.ts";
import { findEndpoint, holderOfPods, rememberEndpoint } from "./find-endpoint.ts";

export interface RuntimeOptions {
  readonly owner: string;
  readonly node: string;
  readonly dataDir: string;
  /** `fileBytes` and `files` of one run of a container, `totalBytes` of all containers together; undefined: no limit. */
  readonly logs: {
    readonly fileBytes: number;
    readonly files: number;
    readonly totalBytes?: number | undefined;
  };
  /** Which programs of this machine pods may run; undefined: none. */
  readonly processes?: ProcessesConfig | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether it is the runtime of this node's pods, so that a choice is kept for the next start; true by default. */
  readonly remembers?: boolean;
}

/** The runtime for an engine, and where the node allows it for programs of this machine; where it does not, those that run are ended. */
export async function openRuntime(
  endpoint: RuntimeEndpoint | undefined,
  options: RuntimeOptions,
): Promise<ContainerRuntime> {
  const { processes: config, remembers = true } = options;
  if (!config && remembers) await endProcesses(options);
  const engine = await openEngine(endpoint, options);
  return config ? withProcesses(engine, { ...options, config }) : engine;
}

/** Loads what runs programs: most nodes run none. */
async function withProcesses(
  engine: ContainerRuntime,
  options: RuntimeOptions & { readonly config: ProcessesConfig },
): Promise<ContainerRuntime> {
  const { openProcessRuntime } = await import("#edge/runtime/process");
  const { BothRuntimes } = await import("./both-runtimes.ts");
  return new BothRuntimes(engine, openProcessRuntime(options));
}

/**
 * The runtime for an engine. Without an endpoint it is the one that this node used before, or the first that is there; while it is
 * away, calls reject with UnavailableError.
 */
async function openEngine(
  endpoint: RuntimeEndpoint | undefined,
  options: RuntimeOptions,
): Promise<ContainerRuntime> {
  if (endpoint) return openAt(settled(endpoint, options), options);
  const { dataDir, clock, log, remembers = true } = options;
  const find = async (): Promise<ContainerRuntime | undefined> => {
    const found = await findEndpoint({ dataDir, clock });
    if (!found) return undefined;
    log.info("container engine chosen", { ...found.endpoint, before: found.isKnown });
    if (remembers && !found.isKnown) remember(found.endpoint, options);
    return openAt(found.endpoint, options);
  };
  const found = await find();
  if (found) return found;
  if (remembers) remember(undefined, options);
  log.warn("no container engine found, waiting for one");
  return new AwaitedRuntime(find, clock);
}

/** The endpoint of the configuration, unless the pods of this node run with another engine: they would run twice. */
function settled(endpoint: RuntimeEndpoint, options: RuntimeOptions): RuntimeEndpoint {
  const { dataDir, log, remembers = true } = options;
  const holder = holderOfPods(dataDir);
  // Docker's address may change: a link, or a context of another user.
  const isSame =
    holder?.kind === endpoint.kind && (endpoint.kind === "docker" || holder.address === endpoint.address);
  if (holder && !isSame) {
    const fix = "drain the node before it gets another engine: docs/containerd.md";
    log.error("staying with the engine that has the pods of this node", {
      holder,
      configured: endpoint,
      fix,
    });
    return holder;
  }
  if (remembers) remember(endpoint, options);
  return endpoint;
}

/** A disk that is full is no reason not to start. */
function remember(endpoint: RuntimeEndpoint | undefined, { dataDir, log }: RuntimeOptions): void {
  try {
    rememberEndpoint(dataDir, endpoint);
  } catch (error) {
    log.warn("cannot keep the choice of the container engine", { error });
  }
}

/** Loads what speaks to that engine, and not the other. */
function openAt({ kind, address }: RuntimeEndpoint, options: RuntimeOptions): Promise<ContainerRuntime> {
  return kind === "docker"
    ? openDockerRuntime({ address, ...options })
    : openCriRuntime({ address, ...options });
}
