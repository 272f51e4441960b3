/** A message to the clients of a device, published after the commit of the change it is about. */
export interface DeviceMessage {
  readonly topic: string;
  readonly payload: string;
  /** `payload` is base64, and its bytes are published. */
  readonly isBytes?: boolean;
  readonly retain?: boolean;
}

/**
 * A message with the fields that all messages of KubeEdge's device topics have.
 * @param nowMs milliseconds since 1970
 */
export function deviceMessage(
  topic: string,
  stamp: { readonly eventId: string; readonly nowMs: number },
  body: object,
): DeviceMessage {
  return { topic, payload: JSON.stringify({ event_id: stamp.eventId, timestamp: stamp.nowMs, ...body }) };
}
