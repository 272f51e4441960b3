import { randomUUID } from "node:crypto";
import type { Device, Event, KubeObject, Lease, Node, Pod } from "#shared/kube";
import type {
  ApiAnswer,
  DesiredRequest,
  LeaseRequest,
  MembersRequest,
  MirrorRequest,
  NodeObjectRequest,
  ObjectRequest,
  PodRequest,
  TargetAnswer,
  TargetCall,
  TokenOfPodAnswer,
  TokenOfPodRequest,
  TwinDelivery,
} from "#shared/topics";
import {
  encode,
  formatResource,
  groups,
  leaseNamespace,
  newMessage,
  operations,
  resourceTypes,
  sources,
  type NewMessage,
  type Stamp,
} from "#shared/wire";
import { readCertainAnswer, readQueryAnswer, readTokenAnswer, readWriteAnswer } from "./api-answers.ts";
import type { CloudMessage } from "./cloud-message.ts";
import { decodeTwinDelivery, kubeObjectIn } from "./deliveries.ts";
import { eventMessage } from "./reports.ts";

/** How a request of a module travels, and how its answer is read. */
export interface RequestCodec<Request, Reply> {
  readonly encode: (request: Request, nowMs: number) => NewMessage;
  readonly decode: (answer: CloudMessage, request: Request) => Reply;
  /** Whether it is about the Node itself: those go even to a cloud that is held back. */
  readonly isAboutNode?: boolean;
}

/** A request on its way to the cloud. */
export interface OutgoingRequest {
  readonly id: string;
  readonly frame: string;
  /** e.g. "default/secret/s" */
  readonly subject: string;
  readonly operation: string;
  /** Whether the object in its answer has to be acknowledged. */
  readonly isQuery: boolean;
  readonly isAboutNode: boolean;
}

export function encodeRequest<Request, Reply>(
  { encode: toMessage, isAboutNode = false }: RequestCodec<Request, Reply>,
  stamp: Stamp,
  request: Request,
): OutgoingRequest {
  const message = newMessage(stamp, toMessage(request, stamp.nowMs()));
  const { resource: subject = "", operation = "" } = message.route;
  const isQuery = operation === operations.query;
  return { id: message.header.msg_id, frame: encode(message), subject, operation, isQuery, isAboutNode };
}

const fromEdged = { source: sources.edged, group: groups.meta } as const;

export const objectRequests: RequestCodec<ObjectRequest, KubeObject | undefined> = {
  encode: ({ type, namespace, name }) => ({
    ...fromEdged,
    operation: operations.query,
    resource: formatResource(type, namespace, name),
    content: null,
  }),
  decode: ({ envelope }) => kubeObjectIn(envelope.content),
};

/** An empty status patch, which every KubeEdge cloud answers with the pod as it is, or with the API's own failure. */
export const podRequests: RequestCodec<PodRequest, ApiAnswer<Pod>> = {
  encode: ({ namespace, name, uid }) => ({
    ...fromEdged,
    operation: operations.patch,
    resource: formatResource(resourceTypes.podPatch, namespace, name),
    content: JSON.stringify({ metadata: uid === undefined ? {} : { uid }, status: {} }),
  }),
  decode: readCertainAnswer,
};

export const mirrorRequests: RequestCodec<MirrorRequest, ApiAnswer<Pod>> = {
  encode: ({ mirror }) => ({
    ...fromEdged,
    operation: operations.insert,
    resource: formatResource(
      resourceTypes.pod,
      mirror.metadata.namespace ?? "default",
      mirror.metadata.name ?? "",
    ),
    content: mirror,
  }),
  decode: readCertainAnswer,
};

export const podTokenRequests: RequestCodec<TokenOfPodRequest, TokenOfPodAnswer> = {
  encode: ({ namespace, serviceAccount, pod, audience, expirationSeconds }) => ({
    ...fromEdged,
    operation: operations.query,
    resource: formatResource(resourceTypes.serviceAccountToken, namespace, serviceAccount),
    content: {
      metadata: {},
      spec: {
        audiences: audience ? [audience] : null,
        expirationSeconds,
        boundObjectRef: { kind: "Pod", apiVersion: "v1", name: pod.name, uid: pod.uid },
      },
    },
  }),
  decode: readTokenAnswer,
};

export const nodeRequests: RequestCodec<NodeObjectRequest, ApiAnswer<Node>> = {
  encode: ({ namespace, name, operation }) => {
    const resource = formatResource(resourceTypes.node, namespace, name);
    switch (operation.verb) {
      case "create":
        return { ...fromEdged, operation: operations.insert, resource, content: operation.node };
      case "update":
        return { ...fromEdged, operation: operations.update, resource, content: operation.node };
      case "get":
        return { ...fromEdged, operation: operations.query, resource, content: null };
      case "patch":
        return {
          ...fromEdged,
          operation: operations.patch,
          resource: formatResource(resourceTypes.nodePatch, namespace, name),
          content: JSON.stringify({ status: operation.status }),
        };
    }
  },
  isAboutNode: true,
  // KubeEdge answers the query for a Node with the bare object.
  decode: (answer, { operation }) =>
    operation.verb === "get" ? readQueryAnswer(answer) : readWriteAnswer(answer),
};

export const leaseRequests: RequestCodec<LeaseRequest, ApiAnswer<Lease>> = {
  encode: ({ name, operation }) => {
    const resource = formatResource(resourceTypes.lease, leaseNamespace, name);
    switch (operation.verb) {
      case "create":
        return { ...fromEdged, operation: operations.insert, resource, content: operation.lease };
      case "update":
        return { ...fromEdged, operation: operations.update, resource, content: operation.lease };
      case "get":
        return { ...fromEdged, operation: operations.query, resource, content: null };
    }
  },
  isAboutNode: true,
  decode: readWriteAnswer,
};

export const desiredRequests: RequestCodec<DesiredRequest, ApiAnswer<Device>> = {
  encode: ({ namespace, name, desired }, sentMs) => ({
    ...fromEdged,
    operation: operations.patch,
    resource: formatResource(resourceTypes.deviceDesired, namespace, name),
    content: { ...desired, sentMs },
  }),
  decode: readWriteAnswer,
};

export const memberRequests: RequestCodec<MembersRequest, TwinDelivery | undefined> = {
  encode: ({ node }, nowMs) => ({
    source: sources.twin,
    group: groups.resource,
    operation: operations.get,
    resource: "membership/detail",
    content: JSON.stringify({
      event_type: "group_membership_event",
      event_id: randomUUID(),
      group_id: node,
      operation: "detail",
      timestamp: nowMs,
    }),
  }),
  decode: (answer) => decodeTwinDelivery(answer),
};

/** A program on the node calls a target of a rule; the cloud of KubeEdge answers with the text of the target. */
export const targetRequests: RequestCodec<TargetCall, TargetAnswer> = {
  encode: ({ targetUrl, payload }) => ({
    source: sources.serviceBus,
    group: groups.user,
    operation: operations.upload,
    resource: targetUrl,
    content: Buffer.from(payload).toString("base64"),
  }),
  decode: ({ envelope: { route, content } }) => {
    const text = typeof content === "string" ? content : JSON.stringify(content);
    return route.operation === operations.error ? { ok: false, reason: text } : { ok: true, text };
  },
};

/** An Event that goes to the cloud at once, past the outbox. */
export const eventRequests: RequestCodec<Event, void> = {
  encode: eventMessage,
  decode: () => undefined,
};
