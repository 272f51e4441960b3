import type { Ack, BrokerClient } from "./client.ts";

/**
 * Unacknowledged messages of a client with a persistent session; further ones wait in its queue. Large enough that a
 * round trip of 50 ms still lets 20,000 messages a second through, small enough that a reconnect repeats little.
 */
export const inFlightWindow = 1000;
/**
 * Unacknowledged messages of a client with a clean session, which has no queue: further ones are dropped. It keeps them
 * free of message ids: there are 65,535.
 */
export const mostUnacknowledged = 10_000;
/** Bytes waiting for a client beyond which its messages stay in the queue of its session: eight socket writes. */
export const mostUnsentBytes = 256 * 1024;

export type AckPacket = { readonly cmd: Ack; readonly messageId?: number };

/**
 * Resolves when the client has at most `most` messages to acknowledge, or is disconnected. Only one caller may wait for a
 * client at a time.
 */
export async function acknowledged(client: BrokerClient, most: number): Promise<void> {
  const { conn } = client;
  const isFull = (): boolean => client.stalled === true || (client.awaited?.size ?? 0) > most;
  while (isFull() && !conn.destroyed)
    await new Promise<void>((resolve) => {
      const done = (): void => {
        client.wake = undefined;
        conn.off("close", done);
        resolve();
      };
      client.wake = done;
      conn.once("close", done);
    });
}

/**
 * Sends queued messages again once half of the window is free: reopening it for each acknowledgement would search the
 * queue for each.
 */
export function resumeDelivery(client: BrokerClient): void {
  if (client.stalled === true && isHalfFree(client)) {
    client.stalled = false;
    client.sendQueued?.();
  }
  client.wake?.();
}

function isHalfFree({ awaited, outbound }: BrokerClient): boolean {
  return (awaited?.size ?? 0) <= inFlightWindow / 2 && outbound.waiting <= mostUnsentBytes / 4;
}

/** @returns false for an acknowledgement that does not fit the QoS of its message (MQTT 3.1.1 section 4.3) */
export function takeAck({ awaited, outbound }: BrokerClient, { cmd, messageId = 0 }: AckPacket): boolean {
  const expected = awaited?.get(messageId);
  if (!awaited || expected === undefined) return true;
  outbound.acknowledged();
  if (cmd === "pubrec") awaited.set(messageId, "pubcomp");
  else awaited.delete(messageId);
  return cmd === expected || (cmd === "pubrec" && expected === "pubcomp");
}
