import type { Acknowledgement } from "#edge/mqtt/packet";
import type { BrokerClient } from "./client.ts";

/**
 * Unacknowledged messages of a client with a persistent session; further ones wait in its queue. Large enough that a
 * round trip of 50 ms still lets 20,000 messages a second through, small enough that a reconnect repeats little.
 */
export const inFlightWindow = 1000;
/**
 * Unacknowledged messages of a client with a clean session, and messages that wait for it besides: further ones are
 * dropped. It keeps message ids free: there are 65,535.
 */
export const mostUnacknowledged = 10_000;
/** Bytes of the messages that wait for a client with a clean session, as many as the queue of a session holds. */
export const mostWaitingBytes = 8 * 1024 * 1024;
/** Bytes waiting for a client beyond which its messages stay in the queue of its session: eight socket writes. */
export const mostUnsentBytes = 256 * 1024;

/** Unacknowledged messages that a client may have: no more than it said it takes (MQTT 5 section 4.9). */
export function windowOf({ receiveMaximum, clean }: BrokerClient): number {
  return Math.min(receiveMaximum, clean ? mostUnacknowledged : inFlightWindow);
}

/** Resolves when the client has at most `most` messages to acknowledge, or is disconnected. */
export async function acknowledged(client: BrokerClient, most: number): Promise<void> {
  const isFull = (): boolean =>
    client.stalled || (client.waiting?.length ?? 0) > 0 || (client.awaited?.size ?? 0) > most;
  while (isFull() && !client.isClosed)
    await new Promise<void>((resolve) => (client.wakers ??= []).push(resolve));
}

/** Whether half of the window is free: sending again for each acknowledgement would search the queue for each. */
export function isHalfFree(client: BrokerClient): boolean {
  const { awaited, outbound } = client;
  return (awaited?.size ?? 0) <= windowOf(client) / 2 && outbound.waiting <= mostUnsentBytes / 4;
}

/** @returns false for an acknowledgement that does not fit the QoS of its message (MQTT 3.1.1 section 4.3) */
export function takeAck(
  { awaited, outbound }: BrokerClient,
  { cmd, messageId, reason }: Acknowledgement,
): boolean {
  const expected = awaited?.get(messageId);
  if (!awaited || expected === undefined) return true;
  outbound.acknowledged();
  if (cmd === "pubrec" && reason < 0x80) awaited.set(messageId, "pubcomp");
  else awaited.delete(messageId);
  return cmd === expected || (cmd === "pubrec" && expected === "pubcomp");
}

/** A message id that is not in use: a session may have messages in flight from earlier connections (section 2.3.1). */
export function freeId(client: BrokerClient, isInFlight: (id: number) => boolean): number {
  let id = client.nextId;
  for (let tries = 0; tries < 65_535 && (client.awaited?.has(id) || isInFlight(id)); tries += 1)
    id = (id % 65_535) + 1;
  client.nextId = (id % 65_535) + 1;
  return id;
}
