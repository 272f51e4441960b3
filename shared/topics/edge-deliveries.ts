import type { KubeObject } from "#shared/kube";
import type { ServiceCall } from "./service-calls.ts";

/** A JSON object of the cloud whose fields its receiver parses. */
export type JsonBody = Readonly<Record<string, unknown>>;

export interface ObjectName {
  /** wire type: "configmap", "secret", … */
  readonly type: string;
  readonly namespace: string;
  readonly name: string;
}

/** An object of the cloud for this node, or its deletion. */
export interface ReceivedObject extends ObjectName {
  readonly operation: "create" | "update" | "delete";
  /** For a deletion: the last state that the cloud has. */
  readonly object: KubeObject;
  /** Whether a controller of KubeEdge sent it; an update of anyone else is stored and goes no further. */
  readonly fromController: boolean;
}

/** What the cloud sends about devices. */
export type TwinDelivery =
  /** Devices that were bound to this node, and such as were taken from it. */
  | { readonly kind: "membership"; readonly body: JsonBody }
  /** All devices of this node. */
  | { readonly kind: "members"; readonly body: JsonBody }
  | { readonly kind: "attributes"; readonly device: string; readonly body: JsonBody }
  /** Desired values of a device (`cloud_updated`). */
  | { readonly kind: "twins"; readonly device: string; readonly body: JsonBody }
  /** A request for the history of a device; its answer goes back to the cloud. */
  | { readonly kind: "history"; readonly device: string; readonly question: unknown };

/** What a rule in the cloud wants of the MQTT brokers. */
export type UserDelivery =
  | { readonly operation: "publish"; readonly topic: string; readonly payload: Uint8Array }
  | { readonly operation: "subscribe" | "unsubscribe"; readonly topic: string };

/** What a rule in the cloud wants of the service bus. */
export type ServiceDelivery =
  | { readonly operation: "call"; readonly call: ServiceCall }
  /** Programs may call the URL through the cloud, or no longer. */
  | { readonly operation: "start" | "stop"; readonly targetUrl: string };

export interface Delivery {
  /** Whether edgehub answers the message. */
  readonly ack: boolean;
  /** The content of the answer; "OK" if absent. */
  readonly answer?: unknown;
}

/** What a device reported: values, or its state. */
export interface DeviceValuesReported {
  /** Of the Device. */
  readonly namespace: string;
  readonly name: string;
  readonly values: readonly { readonly name: string; readonly value: string }[];
  /** undefined: it did not report it */
  readonly state: string | undefined;
}
