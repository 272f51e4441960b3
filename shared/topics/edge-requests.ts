import type { KubeObject, Lease, Node, NodeStatus, Status, Pod } from "#shared/kube";
import type { Desired, LocalDesiredValues } from "./desired-values.ts";
import type { ObjectName } from "./edge-deliveries.ts";

export interface RequestDeadline {
  readonly timeoutMs: number;
}

/** What the API of the cloud answered: the object as it is now, or why not. Neither when it answered anything else. */
export interface ApiAnswer<T extends KubeObject = KubeObject> {
  readonly object?: T;
  readonly failure?: Status;
}

export type ObjectRequest = ObjectName & RequestDeadline;

/** Asks for a pod as the cloud has it; with `uid`, for that very one. */
export interface PodRequest extends RequestDeadline {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string | undefined;
}

/** Makes the mirror of a static pod. */
export interface MirrorRequest extends RequestDeadline {
  readonly mirror: Pod;
}

/** Asks for a token of a service account that ends with the pod (TokenRequest of authentication.k8s.io/v1). */
export interface TokenOfPodRequest extends RequestDeadline {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: { readonly name: string | undefined; readonly uid: string | undefined };
  readonly audience?: string | undefined;
  readonly expirationSeconds: number;
}

/** `refusal`: why there is none, in the words of the cloud. */
export type TokenOfPodAnswer =
  { readonly token: string; readonly expirationSeconds?: number } | { readonly refusal: string };

export interface NodeObjectRequest extends RequestDeadline {
  /** Namespace nodes travel under. */
  readonly namespace: string;
  readonly name: string;
  readonly operation:
    | { readonly verb: "create" | "update"; readonly node: Node }
    | { readonly verb: "get" }
    | { readonly verb: "patch"; readonly status: NodeStatus };
}

export interface LeaseRequest extends RequestDeadline {
  readonly name: string;
  readonly operation:
    { readonly verb: "create" | "update"; readonly lease: Lease } | { readonly verb: "get" };
}

/** Asks for all devices of the node. */
export interface MembersRequest extends RequestDeadline {
  readonly node: string;
}

/** Sends desired values of a Device that were set on this node. */
export interface DesiredRequest extends RequestDeadline {
  readonly namespace: string;
  readonly name: string;
  readonly desired: Omit<LocalDesiredValues, "sentMs">;
}

/** Sets desired values of a Device on this node. */
export interface DesiredChange {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  /** property → its desired value from now on */
  readonly values: ReadonlyMap<string, Desired>;
}

/** What a mapper reports of a device. */
export interface MapperReport {
  /** As topics have it: `<namespace>/<name>`, or the name alone. */
  readonly device: string;
  readonly twins: readonly ReportedProperty[];
  readonly state?: string;
}

export interface ReportedProperty {
  readonly name: string;
  readonly value: string;
  /** The desired value as the mapper knows it; undefined: it does not say. */
  readonly expected?: string | undefined;
  /** Of the value, in KubeEdge's words; undefined: that of the model. */
  readonly type?: string | undefined;
}

/** What a driver has read of a device. */
export interface DriverReport {
  readonly namespace: string;
  readonly name: string;
  readonly values: readonly { readonly name: string; readonly value: string }[];
  readonly state?: "offline" | "online";
}

/** What of a report was not taken. */
export interface RefusedValue {
  /** Name of the property, or "the state". */
  readonly name: string;
  readonly problem: string;
}

/** A program on this node calls a target of a rule in the cloud. */
export interface TargetCall extends RequestDeadline {
  readonly targetUrl: string;
  /** the JSON that the program posted */
  readonly payload: Uint8Array;
}

/** The text of the target's answer, or why there is none. */
export type TargetAnswer =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly reason: string };
