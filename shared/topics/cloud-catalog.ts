import type { WireMessage } from "#shared/wire";

/** What modules of cloudcore may say to each other; see `EdgeCatalog`. */
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
