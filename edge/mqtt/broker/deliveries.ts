import { describeError } from "#shared/errors";
import {
  acknowledged,
  isHalfFree,
  mostUnsentBytes,
  takeAck,
  windowOf,
  type BrokerClient,
} from "#edge/mqtt/connection";
import { encodeAck, reasons, type Acknowledgement, type BrokerPacket } from "#edge/mqtt/packet";
import type { BrokerInternals } from "./internals.ts";

/**
 * Sends again what was in flight when the last connection of a session ended, in order (MQTT-4.4.0-1), as fast as the client
 * takes it; newer messages follow.
 */
export async function sendInFlight(
  internals: BrokerInternals,
  client: BrokerClient,
  mayReceive: (topic: string) => boolean,
): Promise<void> {
  const { sessions } = internals;
  for (const packet of sessions.inFlight(client.id)) {
    if (client.isClosed) return;
    if (packet.cmd === "publish" && !mayReceive(packet.topic ?? ""))
      sessions.finish(client.id, packet.messageId ?? 0);
    else repeat(client, packet);
    if ((client.awaited?.size ?? 0) >= windowOf(client)) await acknowledged(client, windowOf(client) - 1);
    if (client.outbound.waiting > mostUnsentBytes) await client.outbound.drained(mostUnsentBytes);
  }
  if (client.isClosed) return;
  client.connected = true;
  deliverQueued(internals, client);
}

function repeat(client: BrokerClient, packet: BrokerPacket): void {
  const { messageId = 0 } = packet;
  if (packet.cmd === "publish") return client.subscriber?.repeat(packet, messageId);
  (client.awaited ??= new Map()).set(messageId, "pubcomp");
  client.outbound.send(encodeAck("pubrel", messageId));
}

/** The client has taken or acknowledged something: sends more once half of its window is free. */
export function resume(internals: BrokerInternals, client: BrokerClient): void {
  if (client.stalled && isHalfFree(client)) {
    client.stalled = false;
    deliverQueued(internals, client);
  }
  client.subscriber?.sendWaiting();
  const wakers = client.wakers ?? [];
  client.wakers = undefined;
  for (const wake of wakers) wake();
}

/** Sends what arrived while a session was being resumed, while its window was full, or while it subscribed. */
export function deliverQueued({ sessions }: BrokerInternals, client: BrokerClient): void {
  const { subscriber } = client;
  if (client.clean || !client.connected || !subscriber) return;
  for (const packet of sessions.unsent(client.id)) {
    if (client.stalled) return;
    if (!subscriber.mayReceive(packet.topic ?? "")) subscriber.refuse(packet);
    else if (packet.qos > 0) subscriber.deliver(packet, packet.qos === 2 ? 2 : 1);
  }
}

/** The client has acknowledged a message. */
export function takeAcknowledgement(
  internals: BrokerInternals,
  client: BrokerClient,
  packet: Acknowledgement,
): void {
  const { cmd, messageId, reason } = packet;
  const isExpected = client.awaited?.has(messageId) === true;
  if (!takeAck(client, packet)) {
    client.fail(`${cmd} for a message that expects another acknowledgement`, reasons.protocolError);
    return;
  }
  const isReceived = cmd === "pubrec" && reason < reasons.unspecified;
  if (isReceived) release(internals, client, { messageId, isExpected });
  else if (!client.clean) internals.sessions.finish(client.id, messageId);
  resume(internals, client);
}

/** PUBREL is on disk before it is sent: then the message is not sent again. */
function release(
  { sessions, log }: BrokerInternals,
  client: BrokerClient,
  { messageId, isExpected }: { readonly messageId: number; readonly isExpected: boolean },
): void {
  const send = (isKnown: boolean): void => {
    const reason = isKnown || client.version !== 5 ? reasons.success : reasons.unknownMessageId;
    client.outbound.send(encodeAck("pubrel", messageId, reason));
  };
  if (client.clean) return send(isExpected);
  sessions.release(client.id, messageId).then(
    (isKnown) => send(isKnown || isExpected),
    (error: unknown) => {
      log.warn("cannot store the receipt of a message by an MQTT client", { error: describeError(error) });
      client.close();
    },
  );
}
