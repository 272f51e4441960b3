import type { BrokerClient } from "./client.ts";
import { resumeDelivery } from "./in-flight.ts";

/** Packets taken from a client that has read next to nothing since, and bytes that are more than that. */
const mostUnheard = 10_000;
const worthHearing = 64 * 1024;
/** Bytes that may wait for one that sends so much. */
const mostUnheardBytes = 16 * 1024;
/** Read of one client before others have their turn. */
const atOnceBytes = 64 * 1024;

/**
 * Reads on when what was read is dealt with. aedes counts that down at every arrival of bytes too, and so would read
 * without end while nothing is stored. Of a client that does not read its answers nothing more is read until it does, and
 * neither is of a publisher that is paused.
 */
export function readInTurn(client: BrokerClient): void {
  const { conn, _nextBatch: next } = client;
  let [waiting, resting] = [false, false];
  const goOnReading = (): void => {
    waiting = false;
    resting = false;
    // A read takes what came in one piece, and that may be less than a packet, or thousands of them.
    const most = conn.readableLength - atOnceBytes;
    for (let left = Infinity; conn.readableLength < left && isFree();) {
      left = conn.readableLength;
      if (left <= most) return rest();
      next();
    }
  };
  /** Others have their turn. */
  const rest = (): void => {
    if (!resting) setImmediate(goOnReading);
    resting = true;
  };
  const isDeaf = watchHearing(client);
  client.outbound.onTaken = () => {
    if (waiting) setImmediate(goOnReading);
    waiting = false;
    resumeDelivery(client);
  };
  client.publisher = {
    outbound: client.outbound,
    isHeld: false,
    resume: () => void setImmediate(goOnReading),
    keepAlive: () => {
      if (client._keepaliveInterval > 0) client._keepaliveTimer?.refresh();
    },
  };
  const waits = (): boolean => {
    waiting = isDeaf();
    return waiting || client.publisher.isHeld;
  };
  const isFree = (): boolean => client._parsingBatch <= 0 && !client.closed && !waits();
  client._parsingBatch = 0;
  client._nextBatch = (error) => {
    if (error || client.closed) return next(error);
    client._parsingBatch = Math.max(0, client._parsingBatch - 1);
    goOnReading();
  };
  conn.off("readable", next);
  conn.on("readable", goOnReading);
}

/** @returns whether the client has sent much and read little since */
function watchHearing({ outbound, _parser: parser }: BrokerClient): () => boolean {
  let [unheard, heardBytes] = [0, 0];
  parser.on("packet", () => {
    unheard += 1;
  });
  return () => {
    if (unheard <= mostUnheard) return false;
    const { taken } = outbound;
    if (outbound.waiting > mostUnheardBytes && taken - heardBytes < worthHearing) return true;
    [unheard, heardBytes] = [0, taken];
    return false;
  };
}
