import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { tryJson } from "#shared/json";
import { objectKey, type KubeObject, type Pod } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { withReportedStatus } from "#shared/patch";
import type { EdgeCatalog, ObjectChange, ObjectName, StoredObject } from "#shared/topics";
import { stampOf } from "#edge/edge-hub/codec";
import type { Store } from "#edge/store";
import { ReceivedObjects } from "./received-objects.ts";
import { isStale, parseRow, podPatchType, readStored } from "./object-rows.ts";
import { PodCheck } from "./pod-check.ts";
import { StoredRules } from "./stored-rules.ts";
import { UntilStored } from "./until-stored.ts";
import { PodReports } from "./pod-reports.ts";

export type MetaManagerPort = Port<
  EdgeCatalog,
  | "pod.changed"
  | "config.changed"
  | "object.stored"
  | "rules.changed"
  | "device-rule.changed"
  | "outbox.added",
  "cloud.object" | "cloud.pod" | "device.changed" | "volume.remove",
  "pod.status" | "event.recorded" | "node.recovered" | "link.changed",
  "object.deliver" | "pod.list" | "rule.list" | "object.get" | "pod.terminated" | "pod.confirm"
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
 * Keeps the desired state of this node in SQLite. Objects of the cloud are committed before edged or devicetwin are
 * notified, and acknowledged last; reports of edged are committed together with their place in the outbox.
 */
export async function startMetaManager(deps: MetaManagerDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const { port, store, clock, log } = deps;
  const onStored = (object: StoredObject): void => void port.emit("object.stored", object);
  const stamp = stampOf(clock);
  const reports = new PodReports(store, stamp, onStored);
  const rules = new StoredRules(store);
  const received = new ReceivedObjects(store, {
    notify: (change) => notify(port, rules, change),
    onStored,
    log,
  });
  stack.defer(() => received.drained());
  const untilStored = stack.use(new UntilStored(clock, log));
  const link = { connected: false, held: false };
  const check = new PodCheck({
    node: deps.node,
    store,
    received,
    log,
    ask: (request) => port.ask("cloud.pod", request),
    mayRemoveUnknown: () => !link.held,
  });

  stack.use(port.answer("object.deliver", (delivery) => received.deliver(delivery)));
  stack.use(port.answer("rule.list", async () => rules.list()));
  stack.use(port.answer("pod.list", async () => listPods(deps)));
  stack.use(port.answer("pod.confirm", (pod) => check.confirm(pod)));
  stack.use(port.answer("object.get", (name) => findObject(deps, name, link.connected)));
  stack.use(takeReports(port, reports, untilStored));
  stack.use(
    port.on("link.changed", ({ connected, database }) => {
      link.connected = connected;
      link.held = database?.held === true;
      if (!connected) return;
      untilStored.run("all statuses", () => {
        if (reports.repeatStatuses()) void port.emit("outbox.added", {});
      });
      check.restoreUnreadable().catch((error: unknown) => {
        log.warn("cannot restore unreadable pods", { error });
      });
    }),
  );
  return running("metamanager", stack.move());
}

/** What edged reports about its pods. */
function takeReports(port: MetaManagerPort, reports: PodReports, untilStored: UntilStored): Disposable {
  const stack = new DisposableStack();
  const wake = (): void => void port.emit("outbox.added", {});
  stack.use(
    port.answer("pod.terminated", async (pod) => {
      reports.podTerminated(pod);
      wake();
      return undefined;
    }),
  );
  stack.use(
    port.on("pod.status", ({ status, ...pod }) =>
      untilStored.run(`status/${pod.uid}`, () => {
        if (reports.podStatus(pod, status)) wake();
      }),
    ),
  );
  stack.use(
    port.on("node.recovered", () =>
      untilStored.run("all statuses", () => {
        if (reports.repeatStatuses()) wake();
      }),
    ),
  );
  stack.use(
    port.on("event.recorded", ({ event }) =>
      untilStored.run(`event/${objectKey(event)}`, () => {
        reports.event(event);
        wake();
      }),
    ),
  );
  return stack;
}

/** Notifies the module that serves objects of this type; objects of other types are only stored. */
async function notify(port: MetaManagerPort, rules: StoredRules, change: ObjectChange): Promise<void> {
  switch (change.type) {
    case "pod":
      return port.emit("pod.changed", change);
    case "configmap":
    case "secret":
    case "persistentvolumeclaim":
      return port.emit("config.changed", change);
    case "persistentvolume":
      return change.object && port.ask("volume.remove", { volume: change.object });
    case "device":
    case "devicemodel":
      return port.ask("device.changed", change);
    case "devicerule":
      return port.emit("device-rule.changed", change);
    default:
      if (rules.take(change)) return port.emit("rules.changed", { rules: rules.list() });
      return undefined;
  }
}

function listPods({ store, log }: MetaManagerDeps): Pod[] {
  const pods: Pod[] = [];
  for (const { key, value } of store.metas.listByType("pod")) {
    const pod = parseRow(value);
    // The API validated what is stored as a pod.
    if (pod) pods.push(withReportedStatus(pod, lastReport(store, pod)) as Pod);
    else log.error("stored pod cannot be read, its containers are left as they are", { key });
  }
  return pods;
}

/** The patch of the status that edged reported last. */
function lastReport({ metas }: Store, { metadata }: KubeObject): unknown {
  const { namespace = "", name = "" } = metadata;
  return tryJson(metas.find(metas.keyOf({ type: podPatchType, namespace, name }))?.value ?? "");
}

/** The stored row, which the cloud keeps fresh; else the cloud's answer, which is then stored. */
async function findObject(
  { store, port, log }: MetaManagerDeps,
  { type, namespace, name }: ObjectName,
  connected: boolean,
): Promise<KubeObject | undefined> {
  const key = store.metas.keyOf({ type, namespace, name });
  const stored = readStored(store, key);
  if (stored || !connected) return stored;
  try {
    const request = { type, namespace, name, timeoutMs: queryTimeoutMs };
    const object = await port.ask("cloud.object", request);
    // What the cloud pushed while the answer was on its way is newer.
    if (!object || isStale(store, key, object)) return readStored(store, key);
    store.metas.put({ key, type, value: JSON.stringify(object) });
    void port.emit("object.stored", { type, namespace, name });
    return object;
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    log.debug("cannot ask the cloud for an object", { key, error });
    return readStored(store, key);
  }
}
