import { decode, groups, cloudGroup, operations, sources, type WireMessage } from "#shared/wire";

/** Who on the node takes a message; `link`: edgehub itself. */
export type MessageReceiver = "object" | "twin" | "user" | "service" | "link";

/** A message of the cloud. */
export interface CloudMessage {
  readonly id: string;
  /** id of the message of this node that it answers */
  readonly parentId: string | undefined;
  /** What it is about, e.g. "default/pod/web": messages about one subject are delivered in order. */
  readonly subject: string;
  /** undefined when no module serves its group */
  readonly receiver: MessageReceiver | undefined;
  /** Whether it answers with an object, which KubeEdge's cloud repeats until it is acknowledged. */
  readonly isObjectAnswer: boolean;
  readonly hasVersion: boolean;
  /** For the codec alone. */
  readonly envelope: WireMessage;
}

export type DecodedFrame =
  { readonly ok: true; readonly message: CloudMessage } | { readonly ok: false; readonly reason: string };

/** Reads a text frame of the cloud. */
export function decodeCloudFrame(frame: string): DecodedFrame {
  const decoded = decode(frame);
  return decoded.ok ? { ok: true, message: cloudMessage(decoded.message) } : decoded;
}

export function cloudMessage(envelope: WireMessage): CloudMessage {
  const { header, route, content } = envelope;
  const isOfService = route.group === groups.user && route.source === sources.routerServiceBus;
  return {
    id: header.msg_id,
    parentId: header.parent_msg_id,
    subject: route.resource ?? "",
    receiver: isOfService ? "service" : receivers[route.group ?? ""],
    isObjectAnswer:
      route.operation === operations.response && typeof content === "object" && content !== null,
    hasVersion: header.resourceversion !== undefined,
    envelope,
  };
}

const receivers: Readonly<Record<string, MessageReceiver>> = {
  [groups.resource]: "object",
  [groups.func]: "object",
  [groups.twin]: "twin",
  [groups.user]: "user",
  [cloudGroup]: "link",
};
