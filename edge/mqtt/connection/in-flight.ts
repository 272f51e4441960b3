import type { Ack, BrokerClient } from "./client.ts";

/** Messages a client may have to acknowledge: of a lasting session, and of one that ends with the connection. */
export const window = 1000;
export const mostUnacknowledged = 10_000;
/** Bytes that may wait for a client before what its session keeps for it stays there. */
export const mostUnsent = 256 * 1024;

export type AckPacket = { readonly cmd: Ack; readonly messageId?: number };

/** Resolves when the client has no more than so many messages to acknowledge, or is gone. One may wait at a time. */
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

/** Sends on when enough was acknowledged. */
export function resumeDelivery(client: BrokerClient): void {
  const { awaited, outbound } = client;
  if (client.stalled === true && (awaited?.size ?? 0) <= window / 2 && outbound.waiting <= mostUnsent / 4) {
    client.stalled = false;
    client.sendQueued?.();
  }
  client.wake?.();
}

/** @returns false for one that does not belong to the QoS of its message */
export function takeAck({ awaited, outbound }: BrokerClient, { cmd, messageId = 0 }: AckPacket): boolean {
  const expected = awaited?.get(messageId);
  if (!awaited || expected === undefined) return true;
  outbound.acknowledged();
  if (cmd === "pubrec") awaited.set(messageId, "pubcomp");
  else awaited.delete(messageId);
  return cmd === expected || (cmd === "pubrec" && expected === "pubcomp");
}
