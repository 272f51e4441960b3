/** The JSON envelope of KubeEdge's model.Message, one per WebSocket text frame. Optional fields are absent when empty. */
export interface WireMessage {
  readonly header: WireHeader;
  readonly route: WireRoute;
  readonly content: unknown;
  /**
   * Base64 of a payload that is no text, beside the content that KubeEdge has: its peers ignore the field, ours have the
   * bytes as they were published.
   */
  readonly bytes?: string;
}

export interface WireHeader {
  readonly msg_id: string;
  readonly parent_msg_id?: string;
  /** milliseconds */
  readonly timestamp: number;
  readonly resourceversion?: string;
  readonly sync?: boolean;
  readonly type?: string;
}

export interface WireRoute {
  readonly source?: string;
  readonly destination?: string;
  readonly group?: string;
  readonly operation?: string;
  readonly resource?: string;
}

export interface NewMessage {
  readonly source: string;
  readonly group: string;
  readonly operation: string;
  readonly resource: string;
  readonly content: unknown;
  readonly bytes?: Uint8Array | undefined;
  readonly resourceVersion?: string | undefined;
  readonly parentId?: string | undefined;
}

/** Where ids and times of new messages come from. */
export interface Stamp {
  readonly id: () => string;
  readonly nowMs: () => number;
}

/** A new message; absent fields stay absent on the wire. */
export function newMessage(stamp: Stamp, parts: NewMessage): WireMessage {
  return {
    header: {
      msg_id: stamp.id(),
      ...(parts.parentId ? { parent_msg_id: parts.parentId } : {}),
      timestamp: stamp.nowMs(),
      ...(parts.resourceVersion ? { resourceversion: parts.resourceVersion } : {}),
    },
    route: {
      source: parts.source,
      group: parts.group,
      operation: parts.operation,
      resource: parts.resource,
    },
    content: parts.content,
    ...(parts.bytes ? { bytes: Buffer.from(parts.bytes).toString("base64") } : {}),
  };
}

/** The payload that a peer of ours sent beside the content. */
export function bytesOf({ bytes }: Pick<WireMessage, "bytes">): Uint8Array | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes, "base64");
}

/** The answer to `request`: same route, operation `response`, parent set. */
export function responseTo(
  stamp: Stamp,
  request: Pick<WireMessage, "header" | "route">,
  content: unknown,
  route: {
    readonly source?: string;
    readonly group?: string;
    readonly resourceVersion?: string | undefined;
  } = {},
): WireMessage {
  return newMessage(stamp, {
    source: route.source ?? request.route.source ?? "",
    group: route.group ?? request.route.group ?? "",
    operation: "response",
    resource: request.route.resource ?? "",
    content,
    parentId: request.header.msg_id,
    resourceVersion: route.resourceVersion,
  });
}

/** The acknowledgement an edge sends for a message it has stored. */
export function acknowledge(stamp: Stamp, request: WireMessage): WireMessage {
  return responseTo(stamp, request, "OK");
}
