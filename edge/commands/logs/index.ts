import type { Host, Operation } from "#shared/cli";
import type { EdgeConfig } from "#shared/config";
import { AppError, ConfigError, quote } from "#shared/errors";
import { createLogger } from "#shared/log";
import { ownerOf, type ContainerRuntime, type ContainerSummary, type OutputChunk } from "#edge/runtime";
import { openRuntime } from "#edge/runtime/choose";
import { logsGrammar, readLogsAsked, type LogsAsked } from "./options.ts";

/**
 * `edgecore logs POD`: the log of a pod on this node, from the container engine. Neither a link to the cloud nor a running
 * edgecore is needed.
 */
export const logsOperation: Operation<EdgeConfig> = {
  ...logsGrammar,
  run: async (asked, config, host) => {
    const wanted = readLogsAsked(asked, host.clock.nowMs());
    await using runtime = await open(config, host);
    const { id } = findRun(await runtime.list(), wanted);
    await print(runtime.logs(id, wanted.options), wanted.limitBytes, host);
    return 0;
  },
};

function open({ nodeName, dataDir, edged }: EdgeConfig, host: Host): Promise<ContainerRuntime> {
  const { clock } = host;
  const log = createLogger({ level: "warn", clock, write: (line) => host.err(line), readable: true });
  const { runtimeEndpoint, logs } = edged;
  const owner = ownerOf(nodeName, dataDir);
  return openRuntime(runtimeEndpoint, { owner, node: nodeName, dataDir, logs, clock, log, remembers: false });
}

/**
 * The run of a container whose log is asked for: its last, or the one before.
 * @throws AppError when there is none
 */
export function findRun(list: readonly ContainerSummary[], wanted: LogsAsked): ContainerSummary {
  const { pod, namespace, previous } = wanted;
  const ofPod = newestPod(list, wanted);
  const container = wanted.container ?? onlyContainer(ofPod, pod);
  const runs = ofPod
    .filter(({ identity, phase }) => identity.container === container && phase !== "created")
    .toSorted((a, b) => b.identity.attempt - a.identity.attempt);
  const [last, before] = runs;
  const which = `container ${quote(container)} in pod ${quote(`${namespace}/${pod}`)}`;
  if (!last)
    throw notFound(`${which} has not been started on this node; it has ${namesOf(ofPod).join(", ")}`);
  if (!previous) return last;
  if (!before) throw notFound(`previous terminated ${which} not found`);
  return before;
}

/** Of two pods of one name, of which one is being removed, that which runs. */
function newestPod(list: readonly ContainerSummary[], { pod, namespace }: LogsAsked): ContainerSummary[] {
  const named = list.filter(({ identity }) => identity.podName === pod);
  const found = named.filter(({ identity }) => identity.podNamespace === namespace);
  if (found.length === 0) {
    const [other] = named;
    const where = other ? `; it is in namespace ${quote(other.identity.podNamespace)}` : "";
    throw notFound(`pod ${quote(pod)} in namespace ${quote(namespace)} is not on this node${where}`);
  }
  const running = found.find(({ identity, phase }) => identity.role === "sandbox" && phase === "running");
  const uid = (running ?? found.at(-1))?.identity.podUid;
  return found.filter(({ identity }) => identity.podUid === uid && identity.role !== "sandbox");
}

function onlyContainer(ofPod: readonly ContainerSummary[], pod: string): string {
  const names = namesOf(ofPod.filter(({ identity }) => identity.role === "container"));
  const [only, other] = names.length > 0 ? names : namesOf(ofPod);
  if (only === undefined) throw notFound(`no container of pod ${quote(pod)} has been started on this node`);
  if (other === undefined) return only;
  throw new ConfigError(
    "usage",
    `a container name must be specified for pod ${pod}, choose one of: ${names.join(", ")}`,
  );
}

function namesOf(containers: readonly ContainerSummary[]): string[] {
  return [...new Set(containers.map(({ identity }) => identity.container))].toSorted();
}

function notFound(why: string): AppError {
  return new AppError("not-found", `Cannot read the log: ${why}`);
}

async function print(output: AsyncIterable<OutputChunk>, limitBytes: number, host: Host): Promise<void> {
  let left = limitBytes;
  for await (const { bytes } of output) {
    const part = bytes.length > left ? bytes.subarray(0, left) : bytes;
    left -= part.length;
    if (!(await host.pass(part)) || left === 0) return;
  }
}
