import type { HeaderFields } from "#shared/topics";

/** What is to be done for a message, as far as it is known when it is accepted. */
export type DeliveryRequest =
  /** Post to the URL that the rule has by then. */
  | { readonly kind: "post"; readonly topic: string }
  | { readonly kind: "publish"; readonly topic: string }
  | {
      readonly kind: "call";
      readonly port: number;
      readonly method: string;
      readonly path: string;
      readonly headers: HeaderFields;
    };

/** A message of a rule that waits until it is delivered. */
export interface NewDelivery {
  /** key of the rule */
  readonly rule: string;
  /** the node that it goes to, or of a post the one that it comes from */
  readonly node: string;
  /** who sent it: a node, or "" for a client of the REST entry; ids of different senders may be equal */
  readonly origin: string;
  /** The sender's id of the message: a repetition has the same. */
  readonly messageId: string;
  readonly request: DeliveryRequest;
  readonly body: Uint8Array;
}

export interface StoredDelivery extends NewDelivery {
  readonly id: number;
  readonly createdMs: number;
  /** that failed */
  readonly attempts: number;
}

export type Outcome =
  | { readonly kind: "done" }
  /** It may work later; with `offline` not before the node connects. */
  | { readonly kind: "retry"; readonly reason: string; readonly offline?: boolean }
  /** It will never work. */
  | { readonly kind: "dead"; readonly reason: string };
