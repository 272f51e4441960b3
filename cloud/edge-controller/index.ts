import { ObjectDeliveries, ReleasedVolumes } from "#cloud/edge-controller/deliveries";
import {
  isForeignNode,
  NodeWarnings,
  WriteBudget,
  WriteGate,
  type EventSubject,
} from "#cloud/edge-controller/node-authorization";
import { ImageJobs } from "#cloud/edge-controller/image-jobs";
import { Placement, reference, type Reference } from "#cloud/edge-controller/placement";
import {
  NodeRequests,
  PodRequests,
  ConfigRequests,
  DeviceRequests,
  EventRequests,
  RequestQueues,
  VolumeRequests,
  type KubeletAddress,
} from "#cloud/edge-controller/requests";
import { resources, type Informer, type InformerHandler, type KubeClient } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { asText, recordOf } from "#shared/json";
import { edgeNodeLabel, objectKey, type KubeObject, type Node, type Pod } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { CloudCatalog } from "#shared/topics";
import { withClaimSource } from "#shared/volumes";

export type { KubeletAddress } from "#cloud/edge-controller/requests";

/** What the edge controller emits, asks, subscribes to and answers on the bus. */
export type EdgeControllerPort = Port<
  CloudCatalog,
  "node.close",
  "object.deliver" | "object.delivered" | "device.concerns" | "device.desire" | "stream.open",
  "node.connected" | "node.resync" | "object.acked",
  "node.request"
>;

export interface EdgeControllerParts {
  readonly port: EdgeControllerPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether there is a device controller to ask about devices. */
  readonly devices?: boolean;
  /** Where nodes are reported to be reached by the API server; undefined: where they say. */
  readonly kubelet?: KubeletAddress | undefined;
}

interface Copies {
  readonly nodes: Informer<Node>;
  readonly pods: Informer<Pod>;
  readonly configMaps: Informer<KubeObject>;
  readonly secrets: Informer<KubeObject>;
  readonly claims: Informer<KubeObject>;
  readonly volumes: Informer<KubeObject>;
  readonly services: Informer<KubeObject>;
}

/**
 * Between the API and the edge nodes, as KubeEdge's edgecontroller: pods and what they read go to the node they are bound
 * to; what a node reports of itself and its pods goes to the API. A node reaches nothing but its own Node, Lease and pods,
 * and what those read.
 */
export async function startEdgeController(parts: EdgeControllerParts): Promise<Running> {
  const { port, kube, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const copies = copiesOf(kube, stack);
  const { nodes, pods } = copies;
  const placement = new Placement();
  const read = readerOf(copies, kube);
  const deliveries = stack.use(
    new ObjectDeliveries({
      port,
      placement,
      nodes,
      read,
      servicesOf: servicesIn(copies.services),
      handlerOf: runtimeHandlers(kube, log),
      releasedOn: (node) => released.of(node),
      log,
    }),
  );
  const released = new ReleasedVolumes({
    kube,
    volumes: copies.volumes,
    deliveries,
    delivered: (node) => port.ask("object.delivered", { node }),
    log,
  });
  const warnings = new NodeWarnings({ kube, clock, log, uidOf: (node) => nodes.get(node)?.metadata.uid });
  const gate = new WriteGate(new WriteBudget(clock), warnings);
  const ownsDevice = deviceOwners(parts);
  const handlers = [
    ...new NodeRequests({ kube, nodes, gate, warnings, kubelet: parts.kubelet }).handlers(),
    ...new PodRequests({ kube, pods, deliveries, placement, gate, clock }).handlers(),
    ...new ConfigRequests({ kube, placement, read }).handlers(),
    ...new DeviceRequests({
      kube,
      clock,
      log,
      gate,
      ownsDevice,
      desire: (request) => port.ask("device.desire", request),
    }).handlers(),
    ...new EventRequests({ kube, placement, gate, ownsDevice }).handlers(),
    ...new VolumeRequests({ kube, placement, read }).handlers(),
  ];
  const isForeign = (node: string): boolean => {
    const known = nodes.get(node);
    return known !== undefined && isForeignNode(known);
  };
  const requests = stack.use(new RequestQueues({ handlers, isForeign, clock, log }));
  await Promise.all(Object.values(copies).map(({ synced }: Informer<KubeObject>) => synced));
  const started = watchAll({ copies, deliveries, placement, port, stack });
  followNodes({ port, deliveries, released, stack });
  stack.use(port.answer("node.request", (request) => requests.answer(request)));
  stack.use(await startImageJobs(parts, nodes));
  log.info("edge controller started", started);
  return running("edgecontroller", stack.move());
}

async function startImageJobs(
  { port, kube, clock, log }: EdgeControllerParts,
  nodes: Informer<Node>,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const openStream = (node: string, service: string) => port.ask("stream.open", { node, head: { service } });
  const jobs = stack.use(new ImageJobs({ kube, clock, log, nodes, openStream }));
  await jobs.start();
  stack.use(port.on("node.connected", ({ node }) => jobs.nodeConnected(node)));
  return stack.move();
}

function copiesOf(kube: KubeClient, stack: AsyncDisposableStack): Copies {
  return {
    nodes: stack.use(kube.informer<Node>(resources.nodes)),
    pods: stack.use(kube.informer<Pod>(resources.pods)),
    configMaps: stack.use(kube.informer(resources.configMaps)),
    secrets: stack.use(kube.informer(resources.secrets)),
    claims: stack.use(kube.informer(resources.persistentVolumeClaims)),
    volumes: stack.use(kube.informer(resources.persistentVolumes)),
    services: stack.use(kube.informer(resources.services)),
  };
}

/** What nodes say about what they were sent. */
function followNodes({
  port,
  deliveries,
  released,
  stack,
}: Pick<Watched, "port" | "deliveries" | "stack"> & { readonly released: ReleasedVolumes }): void {
  stack.use(released.watch());
  stack.use(port.on("object.acked", (acked) => released.acked(acked)));
  for (const topic of ["node.connected", "node.resync"] as const)
    stack.use(
      port.on(topic, ({ node }) => {
        deliveries.resync(node);
        return released.check(node);
      }),
    );
}

/** Few are looked for often: a pod of each delivery. */
function servicesIn(services: Informer<KubeObject>): (namespace: string) => KubeObject[] {
  return (namespace) => services.list().filter(({ metadata }) => metadata.namespace === namespace);
}

/** Few pods have one. The rights of an existing cluster may be older than this: then the node goes by the name of the class. */
function runtimeHandlers(kube: KubeClient, log: Logger): (name: string) => Promise<string | undefined> {
  return async (name) => {
    try {
      const found = await kube.find(resources.runtimeClasses, { name });
      return found ? asText(found["handler"]) : "";
    } catch (error) {
      log.warn("cannot read the RuntimeClass of a pod", {
        "runtime-class": name,
        error: describeError(error),
      });
      return undefined;
    }
  };
}

/** Without a device controller no device is of any node. */
function deviceOwners({
  port,
  devices = false,
}: EdgeControllerParts): (node: string, about: Omit<EventSubject, "uid">) => Promise<boolean> {
  return async (node, about) => {
    const { kind, namespace, name } = about;
    if (!devices || (kind !== "Device" && kind !== "DeviceModel")) return false;
    return port.ask("device.concerns", { node, kind, namespace, name });
  };
}

interface Watched {
  readonly copies: Copies;
  readonly deliveries: ObjectDeliveries;
  readonly placement: Placement;
  readonly port: EdgeControllerPort;
  readonly stack: AsyncDisposableStack;
}

/** Delivers what changes from now on; what was there before is compared when its node connects. */
function watchAll(watched: Watched): { nodes: number; pods: number } {
  const { copies, deliveries, stack } = watched;
  const { nodes, pods, configMaps, secrets } = copies;
  const counts = { nodes: nodes.list().length, pods: pods.list().length };
  const uidsOf = (objects: readonly KubeObject[]) => new Set(objects.map(({ metadata }) => metadata.uid));
  const known = uidsOf([...nodes.list(), ...pods.list()]);
  stack.use(
    pods.watch({
      added: (pod) => deliveries.podAdded(pod, known.delete(pod.metadata.uid)),
      updated: (pod, old) => deliveries.podUpdated(pod, old),
      removed: (pod) => deliveries.podRemoved(pod),
    }),
  );
  stack.use(nodes.watch(nodeHandler(watched, known)));
  const existing = uidsOf([...configMaps.list(), ...secrets.list()]);
  stack.use(configMaps.watch(configHandler("configmap", deliveries, existing)));
  stack.use(secrets.watch(configHandler("secret", deliveries, existing)));
  const claimHandler = claimChanges(copies, deliveries);
  stack.use(copies.claims.watch(claimHandler.claims));
  stack.use(copies.volumes.watch(claimHandler.volumes));
  return counts;
}

function nodeHandler(
  { deliveries, placement, port }: Watched,
  known: Set<string | undefined>,
): InformerHandler<Node> {
  return {
    added: ({ metadata }) => {
      if (!known.delete(metadata.uid)) deliveries.resync(metadata.name ?? "");
    },
    updated: ({ metadata }, old) => {
      if (old.metadata.labels?.[edgeNodeLabel] === undefined) deliveries.resync(metadata.name ?? "");
    },
    removed: ({ metadata }) => {
      const node = metadata.name ?? "";
      placement.forgetNode(node);
      void port.emit("node.close", { node, reason: "the node was deleted" });
    },
  };
}

function configHandler(
  type: string,
  deliveries: ObjectDeliveries,
  existing: Set<string | undefined>,
): InformerHandler<KubeObject> {
  const name = ({ metadata }: KubeObject): Reference =>
    reference(type, metadata.namespace ?? "default", metadata.name ?? "");
  return {
    added: (object) => {
      if (!existing.delete(object.metadata.uid)) deliveries.configChanged(name(object), "insert", object);
    },
    updated: (object, old) => {
      if (object.metadata.uid !== old.metadata.uid) deliveries.configChanged(name(old), "delete", old);
      deliveries.configChanged(name(object), "update", object);
    },
    removed: (object) => deliveries.configChanged(name(object), "delete", object),
  };
}

/** A claim concerns its nodes once it is bound; its volume may be shown before or after that. */
function claimChanges(
  copies: Copies,
  deliveries: ObjectDeliveries,
): { readonly claims: InformerHandler<KubeObject>; readonly volumes: InformerHandler<KubeObject> } {
  const bound = new Set(
    copies.claims.list().flatMap((claim) => (boundClaim(copies, claim) ? [objectKey(claim)] : [])),
  );
  const nameOf = (key: string): Reference => `persistentvolumeclaim/${key}`;
  const check = (claim: KubeObject | undefined): void => {
    const complete = claim && boundClaim(copies, claim);
    if (!claim || !complete || bound.has(objectKey(claim))) return;
    bound.add(objectKey(claim));
    deliveries.configChanged(nameOf(objectKey(claim)), "insert", complete);
  };
  return {
    claims: {
      added: check,
      updated: check,
      removed: (claim) => {
        if (bound.delete(objectKey(claim)))
          deliveries.configChanged(nameOf(objectKey(claim)), "delete", claim);
      },
    },
    volumes: { added: (volume) => check(copies.claims.get(claimKeyOf(volume))) },
  };
}

function claimKeyOf(volume: KubeObject): string {
  const claimRef = recordOf(recordOf(volume["spec"])["claimRef"]);
  return `${asText(claimRef["namespace"])}/${asText(claimRef["name"])}`;
}

/** With the place of its volume, as nodes get it; undefined until the API shows both as bound to each other. */
function boundClaim({ volumes }: Copies, claim: KubeObject): KubeObject | undefined {
  const volume = volumes.get(asText(recordOf(claim["spec"])["volumeName"]));
  const isBound = recordOf(claim["status"])["phase"] === "Bound";
  return volume && isBound && claimKeyOf(volume) === objectKey(claim)
    ? withClaimSource(claim, volume)
    : undefined;
}

/** From the local copy; one that was made a moment ago may not be there yet. */
function readerOf(copies: Copies, kube: KubeClient): (name: Reference) => Promise<KubeObject | undefined> {
  return async (wanted) => {
    const [type = "", namespace = "", name = ""] = wanted.split("/");
    if (type === "persistentvolumeclaim") {
      const claim = copies.claims.get(`${namespace}/${name}`);
      return claim && boundClaim(copies, claim);
    }
    const isSecret = type === "secret";
    const copy = isSecret ? copies.secrets : copies.configMaps;
    const found = copy.get(`${namespace}/${name}`);
    if (found) return found;
    return kube.find(isSecret ? resources.secrets : resources.configMaps, { namespace, name });
  };
}
