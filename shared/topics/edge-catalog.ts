import type { Device, Event, KubeObject, Lease, Node, Pod, PodStatus } from "#shared/kube";
import type { RuleMeaning } from "#shared/rules";
import type { ByteStream, StreamHead } from "#shared/streams";
import type { UsageCounters } from "#shared/usage";
import type {
  Delivery,
  DeviceValuesReported,
  ReceivedObject,
  ObjectName,
  ServiceDelivery,
  TwinDelivery,
  UserDelivery,
} from "./edge-deliveries.ts";
import type {
  ApiAnswer,
  DesiredChange,
  DesiredRequest,
  LeaseRequest,
  DriverReport,
  MapperReport,
  MembersRequest,
  MirrorRequest,
  NodeObjectRequest,
  ObjectRequest,
  PodRequest,
  RefusedValue,
  TargetAnswer,
  TargetCall,
  TokenOfPodAnswer,
  TokenOfPodRequest,
} from "./edge-requests.ts";
import type { ServiceReply } from "./service-calls.ts";

/**
 * What the modules of edgecore exchange. A topic with `event` has any number of subscribers; one with `body` and `reply` is
 * a request with exactly one responder.
 */
export interface EdgeCatalog {
  /**
   * The link to the cloud came up or was lost. Emitted by edgehub. `database` is there once the node has met a cloud
   * with another database than the one it belongs to; while that is held back no message of the cloud reaches the modules,
   * so that nothing may be removed because the cloud does not list it.
   */
  "link.changed": {
    event: { readonly connected: boolean; readonly reason: string; readonly database?: CloudDatabase };
  };
  /** Rows were put into the store's outbox: edgehub sends what is there. */
  "outbox.added": { event: Record<string, never> };

  /** An object from the cloud. Answered by metamanager after the commit. */
  "object.deliver": { body: ReceivedObject; reply: Delivery };
  /** Membership, desired values or a question of the cloud. Answered by devicetwin after the commit. */
  "twin.deliver": { body: TwinDelivery; reply: Delivery };
  /** A command of a rule in the cloud. Answered by eventbus. */
  "user.deliver": { body: UserDelivery; reply: undefined };
  /** A call of a server on this node, with its reply, or which targets programs may call. Answered by service-bus. */
  "service.deliver": { body: ServiceDelivery; reply: ServiceReply | undefined };
  /** A Device or DeviceModel was committed (or removed: `object` undefined) by metamanager. Answered by devicetwin. */
  "device.changed": { body: ObjectChange; reply: undefined };

  /**
   * Requests to the cloud, answered by edgehub with what the cloud answered. All reject with UnavailableError while there
   * is no link, when it is lost, and when `timeoutMs` is over. `cloud.object` gives undefined when there is no such object.
   */
  "cloud.object": { body: ObjectRequest; reply: KubeObject | undefined };
  "cloud.pod": { body: PodRequest; reply: ApiAnswer<Pod> };
  "cloud.mirror": { body: MirrorRequest; reply: ApiAnswer<Pod> };
  "cloud.token": { body: TokenOfPodRequest; reply: TokenOfPodAnswer };
  "cloud.node": { body: NodeObjectRequest; reply: ApiAnswer<Node> };
  "cloud.lease": { body: LeaseRequest; reply: ApiAnswer<Lease> };
  /** The Device as the cloud has it then. A failure that repetition does not change has a code below 500, or 501. */
  "cloud.desired": { body: DesiredRequest; reply: ApiAnswer<Device> };
  "cloud.members": { body: MembersRequest; reply: TwinDelivery | undefined };
  "cloud.target": { body: TargetCall; reply: TargetAnswer };

  /**
   * Open a byte stream to the cloud. Rejects UnavailableError while there is no link, with a cloud that has no streams (that
   * of KubeEdge) or is held back, and when too many are open; RangeError when the head is too long. Answered by edgehub.
   */
  "cloud.stream": { body: { readonly head: StreamHead }; reply: ByteStream };
  /**
   * The cloud opened a stream of service "service-bus". Answered once it is taken over, to be ended there. A rejection
   * resets it with the reason.
   */
  "service.stream": { body: { readonly stream: ByteStream }; reply: undefined };

  /**
   * A stream to a pod of this node was opened (`shared/pod-streams`), by the cloud or here. Answered by edged once it is taken
   * over, to be answered and ended there.
   */
  "pod.stream": { body: { readonly stream: ByteStream }; reply: undefined };

  /** The cloud wants reports of usage (`shared/usage`) until it ends this stream. Answered by edged once it is taken over. */
  "usage.stream": { body: { readonly stream: ByteStream }; reply: undefined };
  /** The cloud has images pulled (`shared/image-jobs`) as long as it keeps this stream. Answered by edged once it is taken over. */
  "image.stream": { body: { readonly stream: ByteStream }; reply: undefined };
  /** What the node and its running containers have used until now. Answered by edged. */
  "usage.measure": { body: Record<string, never>; reply: UsageCounters };

  /**
   * Desired values are set on this node. Answered by devicetwin when they are on disk and in the twins; false: there is no such
   * Device any more, or too much to keep. Rejects UnavailableError when they cannot be stored.
   */
  "device.desire": { body: DesiredChange; reply: boolean };
  /**
   * Answered by devicetwin when what it took is on disk, with what it did not take; undefined: this node has no such device.
   * Rejects UnavailableError when it cannot be stored.
   */
  "mapper.report": { body: MapperReport; reply: readonly RefusedValue[] | undefined };
  /**
   * Answered by devicetwin when what it took is stored, with what it did not take; undefined: this node has no such device.
   * Rejects UnavailableError when it cannot be stored.
   */
  "driver.report": { body: DriverReport; reply: readonly RefusedValue[] | undefined };
  /** A mapper has registered for a protocol. Emitted by dmi. */
  "mapper.registered": { event: { readonly protocol: string } };
  /** Twins or states of these devices changed, and are on disk. Emitted by devicetwin. */
  "devices.changed": { event: { readonly devices: readonly DeviceName[] } };

  /** Reported values or the state of a device changed, and are on disk. Emitted by devicetwin. */
  "device.reported": { event: DeviceValuesReported };
  /** A DeviceRule was committed or removed. Emitted by metamanager. */
  "device-rule.changed": { event: ObjectChange };

  /** The rules that concern this node, as far as they are in effect. Answered by metamanager. */
  "rule.list": { body: Record<string, never>; reply: readonly RuleMeaning[] };
  /** The same list after a Rule or RuleEndpoint was committed or removed. */
  "rules.changed": { event: { readonly rules: readonly RuleMeaning[] } };

  /** Everything metamanager stores of type pod, with the statuses that edged reported last. */
  "pod.list": { body: Record<string, never>; reply: readonly Pod[] };
  /** Stored row first, else the cloud (when connected); undefined when it does not exist or cannot be known now. */
  "object.get": { body: ObjectName; reply: KubeObject | undefined };
  /** The containers of a deleted pod are gone: its row is removed and the deletion queued for the cloud. Answered by metamanager. */
  "pod.terminated": { body: PodName; reply: undefined };

  /**
   * Whether the cloud has a pod of which containers or files were found here. Answered by metamanager, which asks the
   * cloud about this very pod: "unknown" whenever there is no certain answer, and then everything of it stays.
   */
  "pod.confirm": { body: PodName; reply: PodVerdict };

  /** A pod row was committed; `object` undefined when it was removed. */
  "pod.changed": { event: ObjectChange };
  /** A ConfigMap or Secret row was committed or removed. */
  "config.changed": { event: ObjectChange };
  /** A row of an object was committed or removed, whatever its type, or the status of a pod. Emitted by who stored it. */
  "object.stored": { event: StoredObject };
  /** The claim of a volume was deleted: its directory is removed. Answered by edged once it is gone; fails while it is in use. */
  "volume.remove": { body: { readonly volume: KubeObject }; reply: undefined };
  /** The present status of a pod; stored, and sent to the cloud latest-per-pod. */
  "pod.status": { event: PodName & { readonly status: PodStatus } };
  /** The Node is Ready again in the cloud, which has marked its pods as not ready meanwhile: their statuses are sent again. */
  "node.recovered": { event: Record<string, never> };
  /** A Kubernetes Event for the cloud, durable and bounded. */
  "event.recorded": { event: { readonly event: Event } };

  /**
   * A device published to a topic that edgecore serves, to one of `mqtt.watch`, or (`upload`) to one that the cloud
   * subscribed to. Answered by devicetwin when everything that follows from it is on disk; only then eventbus acknowledges
   * a message of QoS 1 or 2. Requests run concurrently, so that messages arriving together share a commit.
   */
  "mqtt.received": { body: MqttMessage; reply: undefined };
  /** Publish to the devices' broker(s). */
  "mqtt.publish": { event: MqttMessage };
  /** Topic filters besides KubeEdge's own whose messages devicetwin takes. Answered by devicetwin. */
  "mqtt.filters": { body: Record<string, never>; reply: readonly string[] };
  /** The same list when it changed; it replaces the one before. */
  "mqtt.watch": { event: { readonly filters: readonly string[] } };
}

/** The database of the cloud, by name. */
export interface CloudDatabase {
  /** Whether its changes are rejected until an operator adopts it. */
  readonly held: boolean;
  /** the one this node belongs to */
  readonly known: string;
  /** the one the cloud at the other end of the link has */
  readonly found: string;
  /** for the Node's condition */
  readonly message: string;
}

/** A row of an object after its commit. */
export interface ObjectChange extends ObjectName {
  readonly object: KubeObject | undefined;
}

/** Which row changed; the row itself is in the store. */
export interface StoredObject extends ObjectName {
  /** The last state, of one that was removed. */
  readonly removed?: KubeObject;
}

export interface DeviceName {
  readonly namespace: string;
  readonly name: string;
}

export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** What the cloud knows of a pod; "unknown" without a certain answer. */
export type PodVerdict = "here" | "gone" | "unknown";

export interface MqttMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** Brokers keep it for later subscribers. */
  readonly retain?: boolean;
  /** The cloud subscribed to its topic: it goes there as it is. */
  readonly upload?: boolean;
  /** With which its client sent it. */
  readonly qos?: 0 | 1 | 2;
}
