import type { Duplex } from "node:stream";
import type { Client } from "aedes";
import type { Identity } from "./access.ts";
import { encodePublish } from "./encode.ts";
import { mostUnread, type Reader } from "./fan-out.ts";
import { holdToRules, type InnerParser } from "./protocol-rules.ts";
import type { BrokerPacket, QoS } from "#edge/mqttsessions";

/** What of aedes' client is touched beside its interface. */
export interface InnerClient {
  readonly id: string | null;
  readonly clean: boolean;
  readonly version: number | null;
  readonly connecting: boolean;
  readonly connected: boolean;
  readonly connackSent: boolean;
  readonly conn: Duplex;
  readonly broker: { counter: number };
  readonly subscriptions: Readonly<Record<string, { readonly qos: QoS }>>;
  readonly _parser: InnerParser & NodeJS.EventEmitter;
  readonly _will: BrokerPacket | null;
  readonly _keepaliveInterval: number;
  readonly _keepaliveTimer: NodeJS.Timeout | null;
  readonly _nextBatch: (error?: Error | null) => void;
  _parsingBatch: number;
  _nextId: number;
  duplicates: object;
  waitForDrain(done: (error: Error | null, client: unknown) => void): void;
  emit(event: "error", error: Error): boolean;
  once(event: "connected", run: () => void): unknown;
  reader?: Reader;
  who?: Identity;
  /** settles when what it published so far is acknowledged: answers go out in the order of the questions */
  tail?: Promise<void> | undefined;
  /** the acknowledgement that has to come next, by message id */
  awaited?: Map<number, Ack>;
}

type Ack = "puback" | "pubrec" | "pubcomp";

export function inner(client: Client): InnerClient {
  return client as unknown as InnerClient;
}

export interface TameOptions {
  readonly brokerId: string;
  readonly maxPacketBytes: number;
  /** Takes a publication out of aedes' hands. @returns whether it did */
  readonly publish: (client: InnerClient, packet: BrokerPacket) => boolean;
  /** Whether a message id stands for a message under way to the client. */
  readonly isUnderWay: (client: string, messageId: number) => boolean;
}

/**
 * Corrects what aedes does with a connection: the rules it does not hold clients to (see `holdToRules`); publications
 * go through `publish` first; a client that does not read is cut off instead of holding up all others; a message is not
 * taken for a duplicate because one published later overtook it (the fan-out delivers once); and ids begin at 1 and are
 * not given twice.
 */
export function tame(client: InnerClient, options: TameOptions): void {
  holdToRules(client._parser, client.conn, {
    maxPacketBytes: options.maxPacketBytes,
    version: () => client.version ?? undefined,
  });
  takePackets(client, options.publish);
  gather(client.conn);
  cutOffSlow(client);
  numberFromOne(client, options.isUnderWay);
  client.duplicates = {
    get [options.brokerId]() {
      return 0;
    },
    set [options.brokerId](_: number) {
      // Nothing is remembered: an overtaken message would look like a duplicate.
    },
  };
}

export interface ReaderOptions {
  readonly may: (topic: string) => boolean;
  /** Notes under which id a message of a lasting session goes out. @returns a promise where that has to be on disk */
  readonly assign: (packet: BrokerPacket, messageId: number) => Promise<void> | undefined;
  readonly failed: (error: unknown) => void;
}

/**
 * A connection as the fan-out sees it. A lasting session whose queue is being sent after its return is given no newer
 * messages meanwhile: they are in the queue and follow, in order.
 */
export function readerOf(client: InnerClient, { may, assign, failed }: ReaderOptions): Reader {
  const { conn } = client;
  return {
    conn,
    takes: (topic) => client.connackSent && !conn.destroyed && may(topic),
    deliver: (packet, qos) => {
      if (!client.connected && !client.clean) return;
      const messageId = client._nextId;
      client._nextId = (messageId % 65_535) + 1;
      client.awaited ??= new Map();
      client.awaited.set(messageId, qos === 1 ? "puback" : "pubrec");
      const send = (): void => writePublish(client, packet, { qos, messageId });
      const stored = client.clean ? undefined : assign({ ...packet, qos }, messageId);
      if (stored) void stored.then(send).catch(failed);
      else send();
    },
  };
}

function writePublish(
  { conn }: InnerClient,
  { topic = "", payload = "" }: BrokerPacket,
  { qos, messageId }: { readonly qos: QoS; readonly messageId: number },
): void {
  if (conn.destroyed) return;
  if (conn.writableLength > mostUnread) {
    conn.destroy(new Error("client does not read"));
    return;
  }
  writeGathered(conn, encodePublish({ topic, payload: Buffer.from(payload), qos, messageId }));
}

/** Writes with all else that this turn of the event loop has for the connection. */
export function writeGathered(conn: Duplex, bytes: Buffer): void {
  conn.cork();
  conn.write(bytes);
  conn.uncork();
}

function takePackets(client: InnerClient, publish: TameOptions["publish"]): void {
  const parser = client._parser;
  const [handle] = parser.listeners("packet");
  const take = (packet: InPacket): void => {
    if (packet.cmd === "publish" && client.connected && publish(client, packet)) {
      if (client._keepaliveInterval > 0) client._keepaliveTimer?.refresh();
    } else if (isAck(packet) && !takeAck(client, packet)) {
      client.emit("error", new Error(`${packet.cmd} for a message that awaits another answer`));
    } else handle?.call(parser, packet);
  };
  // What comes in one piece with the CONNECT waits until the client is in; nothing more is read meanwhile.
  let early: InPacket[] = [];
  client.once("connected", () => {
    const all = early;
    early = [];
    for (const packet of all) take(packet);
  });
  parser.removeAllListeners("packet");
  parser.on("packet", (packet: InPacket) => {
    if (client.connecting && !client.connected) early.push(packet);
    else take(packet);
  });
}

type AckPacket = { readonly cmd: Ack; readonly messageId?: number };
type InPacket = BrokerPacket | AckPacket;

function isAck(packet: InPacket): packet is AckPacket {
  return packet.cmd === "puback" || packet.cmd === "pubrec" || packet.cmd === "pubcomp";
}

/** @returns false for one that does not belong to the QoS of its message */
function takeAck({ awaited }: InnerClient, { cmd, messageId = 0 }: AckPacket): boolean {
  const expected = awaited?.get(messageId);
  if (!awaited || expected === undefined) return true;
  if (cmd === "pubrec") awaited.set(messageId, "pubcomp");
  else awaited.delete(messageId);
  return cmd === expected || (cmd === "pubrec" && expected === "pubcomp");
}

function cutOffSlow(client: InnerClient): void {
  const { conn } = client;
  const waitForDrain = client.waitForDrain.bind(client);
  client.waitForDrain = (done) => {
    if (!client.connected) return waitForDrain(done);
    const slow = conn.writableLength > mostUnread;
    if (slow) conn.destroy(new Error("client does not read"));
    setImmediate(done, slow ? new Error("client does not read") : null, client);
  };
}

/** aedes begins anywhere, and a session that comes back may still have messages under the ids that follow. */
function numberFromOne(client: InnerClient, isUnderWay: TameOptions["isUnderWay"]): void {
  let next = 1;
  Object.defineProperty(client, "_nextId", {
    get: () => {
      for (let tries = 0; tries < 65_535 && !client.clean && isUnderWay(client.id ?? "", next); tries += 1)
        next = (next % 65_535) + 1;
      return next;
    },
    set: (id: number) => {
      next = id;
    },
  });
}

/**
 * What is written in one turn of the event loop goes out in one system call. aedes writes each message in a callback of
 * its own and would flush after every one.
 */
function gather(conn: Duplex): void {
  const cork = conn.cork.bind(conn);
  let held = false;
  conn.cork = () => {
    cork();
    if (held) return;
    held = true;
    cork();
    setImmediate(() => {
      held = false;
      conn.uncork();
    });
  };
}
