import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { objectKey, type KubeObject, type Pod } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { EdgeCatalog, ObjectChange, ObjectName } from "#shared/topics";
import type { Store } from "#edge/store";
import { Downstream, isStale, parseRow, readStored } from "./downstream.ts";
import { PodCheck } from "./pod-check.ts";
import { UntilStored } from "./until-stored.ts";
import { Upstream } from "./upstream.ts";

export type MetaManagerPort = Port<
  EdgeCatalog,
  "pod.changed" | "config.changed" | "outbox.added",
  "cloud.object" | "cloud.pod" | "device.changed",
  "pod.status" | "event.recorded" | "link.changed",
  "object.deliver" | "pod.list" | "object.get" | "pod.terminated" | "pod.confirm"
>;

export interface MetaManagerDeps {
  /** name of this node */
  readonly node: string;
  readonly port: MetaManagerPort;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How long a pod waits for an object that the cloud has not pushed yet. */
const queryTimeoutMs = 5000;

/**
 * Keeps what the cloud wants of this node in SQLite. Whatever arrives is committed before it is told to edged or
 * devicetwin, and acknowledged last; whatever edged reports is committed with its place in the outbox.
 */
export async function startMetaManager(deps: MetaManagerDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const { port, store, clock } = deps;
  const stamp = { id: () => crypto.randomUUID(), nowMs: () => clock.nowMs() };
  const upstream = new Upstream(store, stamp);
  const downstream = new Downstream(store, (change) => tell(port, change), deps.log);
  stack.defer(() => downstream.drained());
  const reports = stack.use(new UntilStored(clock, deps.log));
  const link = { connected: false, held: false };
  const check = new PodCheck({
    node: deps.node,
    store,
    downstream,
    log: deps.log,
    ask: (request) => port.ask("cloud.pod", request),
    mayRemoveUnknown: () => !link.held,
  });
  const wake = (): void => void port.emit("outbox.added", {});

  stack.use(port.answer("object.deliver", (message) => downstream.deliver(message)));
  stack.use(port.answer("pod.list", async () => listPods(deps)));
  stack.use(port.answer("pod.confirm", (pod) => check.confirm(pod)));
  stack.use(port.answer("object.get", (name) => findObject(deps, name, link.connected)));
  stack.use(
    port.answer("pod.terminated", async (pod) => {
      upstream.podTerminated(pod);
      wake();
      return undefined;
    }),
  );
  stack.use(
    port.on("pod.status", ({ status, ...pod }) =>
      reports.run(`status/${pod.uid}`, () => {
        if (upstream.podStatus(pod, status)) wake();
      }),
    ),
  );
  stack.use(
    port.on("event.recorded", ({ event }) =>
      reports.run(`event/${objectKey(event)}`, () => {
        upstream.event(event);
        wake();
      }),
    ),
  );
  stack.use(
    port.on("link.changed", ({ connected, database }) => {
      link.connected = connected;
      link.held = database?.held === true;
      if (!connected) return;
      reports.run("all statuses", () => {
        if (upstream.repeatStatuses()) wake();
      });
      check.restoreUnreadable().catch((error: unknown) => {
        deps.log.warn("cannot restore unreadable pods", { error });
      });
    }),
  );
  return running("metamanager", stack.move());
}

async function tell(port: MetaManagerPort, change: ObjectChange): Promise<void> {
  switch (change.type) {
    case "pod":
      return port.emit("pod.changed", change);
    case "configmap":
    case "secret":
      return port.emit("config.changed", change);
    case "device":
    case "devicemodel":
      return port.ask("device.changed", change);
    default:
      return undefined;
  }
}

function listPods({ store, log }: MetaManagerDeps): Pod[] {
  const pods: Pod[] = [];
  for (const row of store.metas.listByType("pod")) {
    const pod = parseRow(row.value);
    if (pod) pods.push(pod as Pod);
    else log.error("stored pod cannot be read, its containers are left as they are", { key: row.key });
  }
  return pods;
}

/** The stored row, which the cloud keeps fresh; else the cloud's answer, which is then stored. */
async function findObject(
  deps: MetaManagerDeps,
  { type, namespace, name }: ObjectName,
  connected: boolean,
): Promise<KubeObject | undefined> {
  const key = deps.store.metas.keyOf({ type, namespace, name });
  const stored = readStored(deps.store, key);
  if (stored || !connected) return stored;
  try {
    const request = { type, namespace, name, timeoutMs: queryTimeoutMs };
    const object = await deps.port.ask("cloud.object", request);
    // What the cloud pushed while the answer was on its way is newer.
    if (!object || isStale(deps.store, key, object)) return readStored(deps.store, key);
    deps.store.metas.put({ key, type, value: JSON.stringify(object) });
    return object;
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    deps.log.debug("cloud not asked for an object", { key, error });
    return readStored(deps.store, key);
  }
}
