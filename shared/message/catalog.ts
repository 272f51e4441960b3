import type { Event, KubeObject, Pod, PodStatus } from "#shared/kube";
import type { NewMessage, WireMessage } from "./wire.ts";

/**
 * What modules may say to each other, one list a half. A topic with `reply: undefined` and no answerer is an event
 * (any number of hearers); the others are questions (exactly one answerer).
 */
export interface EdgeCatalog {
  /**
   * The link to the cloud came up or went away. Emitted by edgehub. `database` is there once the node has met a cloud
   * with another database than the one it belongs to; while that is held back nothing the cloud says reaches the modules,
   * so nothing that is missing in what it says may be removed.
   */
  "link.changed": {
    event: { readonly connected: boolean; readonly reason: string; readonly database?: CloudDatabase };
  };
  /** Rows were put into the store's outbox: edgehub sends what is there. */
  "outbox.added": { event: Record<string, never> };

  /** An object of group `resource` from the cloud. Answered by metamanager after the commit. */
  "object.deliver": { body: WireMessage; reply: Delivery };
  /** A message of group `twin` from the cloud (membership, twin responses). Answered by devicetwin. */
  "twin.deliver": { body: WireMessage; reply: Delivery };
  /** A message of group `user` from the cloud. Answered by eventbus. */
  "user.deliver": { body: WireMessage; reply: Delivery };
  /** A Device or DeviceModel was committed (or removed: `object` undefined) by metamanager. Answered by devicetwin. */
  "device.changed": { body: ObjectChange; reply: undefined };

  /** Sends a request and waits for the response with its parent id. Rejects UnavailableError while there is no link. */
  "cloud.request": { body: NewMessage & { readonly timeoutMs?: number }; reply: WireMessage };

  /** Everything metamanager stores of type pod. */
  "pod.list": { body: Record<string, never>; reply: readonly Pod[] };
  /** Stored row first, else the cloud (when connected); undefined when it does not exist or cannot be known now. */
  "object.get": { body: ObjectName; reply: KubeObject | undefined };
  /** The containers of a deleted pod are gone: forget the row and tell the cloud (durably). */
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
  /** The present status of a pod; stored, and sent to the cloud latest-per-pod. */
  "pod.status": { event: PodName & { readonly status: PodStatus } };
  /** A Kubernetes Event for the cloud, durable and bounded. */
  "event.recorded": { event: { readonly event: Event } };

  /**
   * A device published to a topic that edgecore serves, to one of `mqtt.watch`, or (`upload`) to one that the cloud
   * subscribed to. Answered by devicetwin when all it says is on disk; only then eventbus acknowledges a message of
   * QoS 1 or 2. Questions run side by side, so that messages arriving together share a commit.
   */
  "mqtt.received": { body: MqttMessage; reply: undefined };
  /** Publish to the devices' broker(s). */
  "mqtt.publish": { event: MqttMessage };
  /** All topic filters besides KubeEdge's own that devicetwin wants to hear of. Answered by devicetwin. */
  "mqtt.filters": { body: Record<string, never>; reply: readonly string[] };
  /** The same when it changed; replaces the list before. */
  "mqtt.watch": { event: { readonly filters: readonly string[] } };
}

export interface CloudCatalog {
  /** An upstream message for edgecontroller (anything but `twin` sources, acks and keepalives). */
  "node.message": { event: NodeMessage };
  /** An upstream message with source `twin`, for devicecontroller. */
  "twin.message": { event: NodeMessage };
  /**
   * A message of a device for the cloud, passed on by the node as it came (operation `upload`, group `user`). Answered
   * by telemetry once it is on disk; false: it is not, and the node has to keep it.
   */
  "node.upload": { body: NodeMessage; reply: boolean };
  /**
   * Sends a question down to a connected node and waits for its answer, which may be of operation `error`. Rejects
   * UnavailableError when the node is not connected, goes away or says nothing in time. Answered by cloudhub.
   */
  "node.request": { body: NodeMessage & { readonly timeoutMs: number }; reply: WireMessage };
  /** Where a Device is. Answered by devicecontroller; undefined when there is no such Device. */
  "device.find": {
    body: { readonly namespace: string; readonly name: string };
    reply: DevicePlace | undefined;
  };
  /** Whether a Device is bound to the node, or a DeviceModel used by one that is. Answered by devicecontroller. */
  "device.concerns": {
    body: {
      readonly node: string;
      readonly kind: "Device" | "DeviceModel";
      readonly namespace: string;
      readonly name: string;
    };
    reply: boolean;
  };
  /** Send down to a node; `message.route.resource` is without the `node/<id>/` prefix. Answered by cloudhub once queued. */
  "node.send": { body: NodeMessage; reply: undefined };
  /** `database`: the name of what the node keeps its objects in, where it says so. */
  "node.connected": { event: { readonly node: string; readonly database?: string | undefined } };
  "node.disconnected": { event: { readonly node: string; readonly reason: string } };
  /** Close the session of a node that was deleted or banned. */
  "node.close": { event: { readonly node: string; readonly reason: string } };
  /** The edge acknowledged an object. */
  "object.acked": { event: AckedObject };
  /**
   * An object is about to be sent to a node: from now on it is recorded (version "0" until acknowledged), so that its
   * deletion reaches the node whatever happens. The reply is the version acknowledged so far. Answered by synccontroller.
   */
  "object.sending": { body: { readonly node: string; readonly object: DeliveredObject }; reply: string };
  /** Compare what a connected node has with what it should have, and repair. Emitted by synccontroller, slowly, in turn. */
  "node.resync": { event: { readonly node: string } };
  /** Everything recorded as delivered to a node. Answered by synccontroller. */
  "object.delivered": { body: { readonly node: string }; reply: readonly DeliveredObject[] };
}

/** The database of the cloud, by name. */
export interface CloudDatabase {
  /** Whether its word is held back until an operator adopts it. */
  readonly held: boolean;
  /** the one this node belongs to */
  readonly known: string;
  /** the one the cloud at the other end of the link has */
  readonly found: string;
  /** for the Node's condition */
  readonly message: string;
}

export interface Delivery {
  /** Whether edgehub answers the message. */
  readonly ack: boolean;
  /** The content of the answer; "OK" unless told. */
  readonly answer?: unknown;
}

export interface ObjectName {
  /** wire type: "configmap", "secret", … */
  readonly type: string;
  readonly namespace: string;
  readonly name: string;
}

export interface ObjectChange extends ObjectName {
  readonly object: KubeObject | undefined;
}

export interface PodName {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export type PodVerdict = "here" | "gone" | "unknown";

export interface MqttMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** Brokers keep it for later subscribers. */
  readonly retain?: boolean;
  /** The cloud subscribed to its topic: it goes there as it is. */
  readonly upload?: boolean;
}

export interface NodeMessage {
  readonly node: string;
  readonly message: WireMessage;
}

export interface DevicePlace {
  /** undefined: the Device is bound to no node */
  readonly node: string | undefined;
}

export interface DeliveredObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** `contentDigest` of what was acknowledged, when known: equal digests need no resending. Empty: it is to be deleted. */
  readonly digest?: string | undefined;
}

export interface AckedObject extends DeliveredObject {
  readonly node: string;
  readonly deleted: boolean;
}
