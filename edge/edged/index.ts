import { join } from "node:path";
import { mkdirSync, realpathSync } from "node:fs";
import { running, type Running } from "#shared/lifecycle";
import { shutDownPods } from "#edge/edged/node/shutdown";
import { PodStreams, type PodView } from "#edge/edged/streams";
import { measure, UsageStreams } from "#edge/edged/node/usage";
import { releaseAll } from "#edge/edged/volumes";
import { makeParts, type EdgedDeps, type EdgedSettings, type Parts } from "./parts.ts";

export type { EdgedDeps, EdgedPort, EdgedSettings } from "./parts.ts";

export interface Edged extends Running {
  /** The machine shuts down: ends pods, critical ones last, and reports it. Nothing starts any more. */
  readonly shutDown: () => Promise<void>;
}

/**
 * Runs the pods that are stored for this node, and reports the node. Starting waits for neither the engine nor the
 * cloud; containers of an earlier run are adopted. Disposing leaves containers running.
 */
export async function startEdged(given: EdgedSettings, deps: EdgedDeps): Promise<Edged> {
  await using stack = new AsyncDisposableStack();
  const { port, runtime, clock } = deps;
  const { config, pinsDir } = await prepareDirs(given, deps);
  const { agent, pods, unknown, evictor, images, statics, devices } = makeParts(config, { ...deps, pinsDir });
  stack.use(images);
  stack.use(unknown);
  stack.use(pods);
  stack.use(agent);
  stack.use(evictor);
  stack.use(statics);
  stack.use(devices);
  await devices?.start();
  // Before the pods: what the node runs short of decides which of them it takes.
  await evictor.start();
  serveStreams(stack, deps, { pods, statics, images });
  stack.use(port.answer("usage.measure", () => measure({ runtime, clock })));
  stack.use(port.answer("volume.remove", ({ volume }) => pods.removeVolume(volume)));
  stack.use(port.on("pod.changed", (change) => (statics.takes(change) ? undefined : pods.changed(change))));
  stack.use(port.on("config.changed", (change) => pods.configChanged(change)));
  stack.use(
    port.on("link.changed", (link) => {
      const { connected, database } = link;
      agent.linkChanged(link);
      // A pod that is missing in another database of the cloud may still be desired.
      unknown.linkChanged(connected && database?.held !== true);
      statics.linkChanged(connected && database?.held !== true);
      if (connected) pods.connected();
    }),
  );
  // Static pods take their room first.
  pods.load(await statics.start(await port.ask("pod.list", {})));
  stack.use(
    runtime.watch((hint) => {
      if (hint.kind !== "container") agent.wake();
      pods.hint(hint);
    }),
  );
  agent.wake();
  pods.relist();
  images.start();
  if (deps.onHealth) stack.use(deps.onHealth("edged", () => stallOf(pods, evictor)));
  const shutDown = shutterOf(config, { ...deps, agent, pods });
  return { ...running("edged", stack.move()), shutDown };
}

function shutterOf(
  { shutdown }: EdgedSettings,
  { agent, pods, clock, log }: EdgedDeps & Pick<Parts, "agent" | "pods">,
): Edged["shutDown"] {
  return async () => {
    const ended = shutDownPods(shutdown, { clock, log, pods: () => pods.active() });
    await Promise.all([agent.shutDown(), ended]);
  };
}

/** Hands streams that the cloud or this node opens to who serves them. */
function serveStreams(
  stack: AsyncDisposableStack,
  deps: EdgedDeps,
  parts: Pick<Parts, "pods" | "statics" | "images">,
): void {
  const { port, runtime, clock } = deps;
  const streams = stack.use(new PodStreams({ runtime, clock, findPod: viewOf(parts) }));
  stack.use(
    port.answer("pod.stream", async ({ stream }) => {
      streams.take(stream);
      return undefined;
    }),
  );
  const usage = stack.use(new UsageStreams({ clock, measure: () => measure({ runtime, clock }) }));
  stack.use(
    port.answer("usage.stream", async ({ stream }) => {
      usage.take(stream);
      return undefined;
    }),
  );
  stack.use(
    port.answer("image.stream", async ({ stream }) => {
      parts.images.takeJob(stream);
      return undefined;
    }),
  );
}

/** Every call of the engine has a deadline far below, and an eviction takes a minute or two. */
const longestStallMs = 600_000;

function stallOf(...parts: readonly { readonly stalledMs: number }[]): string | undefined {
  const ms = Math.max(...parts.map(({ stalledMs }) => stalledMs));
  return ms > longestStallMs ? `nothing has happened for ${Math.round(ms / 1000)} s` : undefined;
}

/** Finds pods for who reads their logs or runs commands in them. */
function viewOf({
  pods,
  statics,
}: Pick<Parts, "pods" | "statics">): (namespace: string, name: string) => PodView | undefined {
  return (namespace, name) => {
    const found = pods.find(namespace, name);
    return found && { pod: found.pod, status: found.status, cloudUid: statics.mirrorOf(found.pod) };
  };
}

/** Creates the directories of edged and releases mounts for subPaths that an earlier run left. */
async function prepareDirs(
  config: EdgedSettings,
  { log, clock }: Pick<EdgedDeps, "log" | "clock">,
): Promise<{ readonly config: EdgedSettings; readonly pinsDir: string }> {
  for (const name of ["pods", pinsName])
    mkdirSync(join(config.dataDir, name), { recursive: true, mode: 0o700 });
  // The kernel lists mounts by their real paths.
  const dataDir = realpathSync(config.dataDir);
  const pinsDir = join(dataDir, pinsName);
  await releaseAll(pinsDir, clock, (path, error) =>
    log.warn("cannot release a mount of an earlier run", { path, error }),
  );
  return { config: { ...config, dataDir }, pinsDir };
}

/** Directory of what subPaths are mounted at while their containers start. */
const pinsName = "subpaths";
