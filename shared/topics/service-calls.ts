/** Header fields in order; a name may occur more than once. */
export type HeaderFields = readonly (readonly [name: string, value: string])[];

/** A whole HTTP request to a server on a node. */
export interface ServiceCall {
  /** on 127.0.0.1 of the node */
  readonly port: number;
  readonly method: string;
  /** from the first "/" on, with the query */
  readonly path: string;
  readonly headers: HeaderFields;
  readonly body: Uint8Array;
}

/** A whole HTTP response of a server on a node. */
export interface ServiceReply {
  readonly status: number;
  readonly headers: HeaderFields;
  readonly body: Uint8Array;
}

/** What a rule wants of a node, in words that nodes of KubeEdge know as well. */
export type RuleCommand =
  /** Publish to the MQTT brokers of the node. */
  | {
      readonly operation: "publish";
      readonly topic: string;
      readonly payload: string;
      /** What to publish, when it is no UTF-8 text: nodes of KubeEdge publish the text. */
      readonly bytes?: Uint8Array;
    }
  /** Upload what is published on the topic, from now on, or no longer. */
  | { readonly operation: "subscribe" | "unsubscribe"; readonly topic: string }
  /** Programs on the node may call the URL through the cloud, from now on, or no longer. */
  | { readonly operation: "start" | "stop"; readonly targetUrl: string };

/** A program on a node calls a target of a rule. */
export interface TargetRequest {
  readonly node: string;
  /** The node's id of the request: a repetition has the same. */
  readonly id: string;
  readonly targetUrl: string;
  /** the JSON that the program posted on the node */
  readonly payload: Uint8Array;
}
