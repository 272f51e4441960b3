import type { Duplex } from "node:stream";
import type { Client } from "aedes";
import {
  encodePublish,
  encodePublishHead,
  type BrokerPacket,
  type Inbound,
  type QoS,
} from "#edge/mqtt/packet";
import { newInbox, type Inbox, type Sessions } from "#edge/mqtt/sessions";
import type { Identity } from "#edge/mqtt/access";
import type { Backlog, Outbound, Publisher } from "#edge/mqtt/flow";
import type { Reader } from "./fan-out.ts";
import { holdToRules, type InnerParser } from "./protocol-rules.ts";

/** What of aedes' client is touched beside its interface, and what is kept with it. */
export interface InnerClient {
  /** Once it is let in, the name of its session. */
  id: string | null;
  readonly clean: boolean;
  readonly closed: boolean;
  readonly version: number | null;
  readonly connecting: boolean;
  readonly connected: boolean;
  readonly connackSent: boolean;
  readonly conn: Duplex;
  readonly subscriptions: Readonly<Record<string, { readonly qos: QoS }>>;
  readonly will: BrokerPacket | null;
  readonly _parser: InnerParser & NodeJS.EventEmitter;
  readonly _will: BrokerPacket | null;
  readonly _keepaliveInterval: number;
  readonly _keepaliveTimer: NodeJS.Timeout | null;
  _nextBatch: (error?: Error | null) => void;
  _parsingBatch: number;
  _nextId: number;
  duplicates: object;
  waitForDrain(done: (error: Error | null, client: unknown) => void): void;
  emit(event: "error", error: Error): boolean;
  /** All that is written to it. */
  outbound: Outbound;
  /** As far as it can be paused. */
  publisher: Publisher;
  reader?: Reader;
  who?: Identity;
  /** settles when what it published so far is answered: answers go out in the order of the questions */
  tail?: Promise<void> | undefined;
  /** Something it published could not be taken: what follows is not taken either. */
  broken?: boolean;
  /** of a session that ends with the connection */
  inbox?: Inbox;
  /** the acknowledgement that has to come next, by message id */
  awaited?: Map<number, Ack>;
  /** It has as much to acknowledge as it may: what follows waits in its queue. */
  stalled?: boolean;
  /** Its CONNECT was answered: what came behind it is dealt with. */
  letIn?: () => void;
  /** Sends what waits in its queue. */
  sendRest?: () => void;
  /** Wakes who waits for acknowledgements. */
  wake?: (() => void) | undefined;
  /** the retained messages it is being sent */
  retained?: Promise<void>;
}

type Ack = "puback" | "pubrec" | "pubcomp";

export function inner(client: Client): InnerClient {
  return client as unknown as InnerClient;
}

export interface TameOptions {
  readonly brokerId: string;
  readonly backlog: Backlog;
  readonly maxPacketBytes: number;
  /** Takes over what a client publishes and subscribes to. */
  readonly take: (client: InnerClient, packet: Inbound) => void;
  readonly sessions: Sessions;
}

/**
 * Corrects what aedes does with a connection: the rules it does not hold clients to (see `holdToRules`); what a client
 * publishes and subscribes to goes to `take`, and nothing more is read before it is dealt with; what is written to a
 * client goes through its `Outbound`; a message is not taken for a duplicate because one published later overtook it (the
 * fan-out delivers once); and ids begin at 1 and are not given twice.
 */
export function tame(client: InnerClient, options: TameOptions): void {
  holdToRules(client._parser, client.conn, {
    maxPacketBytes: options.maxPacketBytes,
    version: () => client.version ?? undefined,
  });
  client.outbound = options.backlog.open(client.conn, () => client.who?.clientId ?? client.id ?? "");
  client.waitForDrain = (done) => {
    const { outbound, conn } = client;
    void outbound
      .drained(mostUnsent)
      .then(() => setImmediate(done, conn.destroyed ? new Error("connection closed") : null, client));
  };
  readInTurn(client);
  takePackets(client, options.take);
  numberFromOne(client, options.sessions);
  client.duplicates = {
    get [options.brokerId]() {
      return 0;
    },
    set [options.brokerId](_: number) {
      // Nothing is remembered: an overtaken message would look like a duplicate.
    },
  };
}

/** What a client has sent with QoS 2: kept with its session, or with the connection when that ends with it. */
export function inboxOf(client: InnerClient, sessions: Sessions): Inbox {
  return client.clean ? (client.inbox ??= newInbox()) : sessions.inbox(client.id ?? "");
}

export interface ReaderOptions {
  readonly may: (topic: string) => boolean;
  readonly sessions: Sessions;
  readonly failed: (error: unknown) => void;
  /** A message was given up: the session ends with the connection, and it acknowledges nothing. */
  readonly dropped: () => void;
}

/** Messages a client may have to acknowledge: of a lasting session, and of one that ends with the connection. */
export const window = 1000;
const mostUnacknowledged = 10_000;
/** Bytes that may wait for a client before what its session keeps for it stays there. */
const mostUnsent = 256 * 1024;
/** A payload of so many bytes is not copied for each client. */
const worthSharing = 2048;

/**
 * A connection as the fan-out sees it. A lasting session whose queue is being sent after its return is given no newer
 * messages meanwhile: they are in the queue and follow, in order.
 */
export function readerOf(client: InnerClient, options: ReaderOptions): Reader {
  const { may, sessions, failed, dropped } = options;
  const { conn, outbound } = client;
  const id = client.id ?? "";
  outbound.fill = () => (client.clean ? (client.awaited?.size ?? 0) / mostUnacknowledged : sessions.fill(id));
  return {
    outbound,
    may,
    open: () => client.connackSent && !conn.destroyed,
    refuse: (packet) => {
      if (!client.clean) sessions.refuse(id, packet);
    },
    deliver: (packet, qos) => {
      const awaited = (client.awaited ??= new Map());
      if (client.clean && awaited.size >= mostUnacknowledged) return dropped();
      if (!client.clean && !isReady(client, awaited)) return;
      const messageId = client._nextId;
      const assigned = client.clean ? {} : sessions.assign(id, packet, messageId);
      if (!assigned) return;
      client._nextId = (messageId % 65_535) + 1;
      awaited.set(messageId, qos === 1 ? "puback" : "pubrec");
      const send = (): void => writePublish(client, packet, { qos, messageId });
      if (!assigned.stored) return send();
      assigned.stored.then(send).catch((error: unknown) => {
        failed(error);
        // Its id is given: only the next connection can have it.
        conn.destroy();
      });
    },
  };
}

function isReady(client: InnerClient, awaited: ReadonlyMap<number, Ack>): boolean {
  if (!client.connected) return false;
  if (awaited.size >= window || client.outbound.waiting > mostUnsent) client.stalled = true;
  return client.stalled !== true;
}

function writePublish(
  { outbound }: InnerClient,
  { topic = "", payload = "", retain = false }: BrokerPacket,
  { qos, messageId }: { readonly qos: QoS; readonly messageId: number },
): void {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const publication = { topic, payload: bytes, qos, retain, messageId };
  if (bytes.length < worthSharing) return outbound.say(encodePublish(publication));
  outbound.say(encodePublishHead(publication));
  outbound.say(bytes);
}

/** Resolves when the client has no more than so many messages to acknowledge, or is gone. One may wait at a time. */
export async function acknowledged(client: InnerClient, most: number): Promise<void> {
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

/** Packets taken from a client that has read next to nothing since, and bytes that are more than that. */
const mostUnheard = 10_000;
const worthHearing = 64 * 1024;
/** Bytes that may wait for one that sends so much. */
const mostUnheardBytes = 16 * 1024;
/** Read of one client before others have their turn. */
const atOnceBytes = 64 * 1024;
const pingResponse = Buffer.from([0xd0, 0]);

/**
 * Reads on when what was read is dealt with. aedes counts that down at every arrival of bytes too, and so would read
 * without end while nothing is stored. Of a client that does not read its answers nothing more is read until it does, and
 * neither is of a publisher that is paused.
 */
function readInTurn(client: InnerClient): void {
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
    goOn(client);
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
function watchHearing({ outbound, _parser: parser }: InnerClient): () => boolean {
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

function takePackets(client: InnerClient, take: TameOptions["take"]): void {
  const parser = client._parser;
  const [handle] = parser.listeners("packet");
  let left = false;
  let isIn = false;
  const receive = (packet: InPacket): void => {
    if (left || client.closed) return;
    left = packet.cmd === "disconnect";
    if (isInbound(packet)) {
      // Before CONNECT it ends the connection, and is not aedes' in any case.
      if (!isIn) return void client.conn.destroy();
      take(client, packet);
      client.publisher.keepAlive();
      return;
    }
    if (isAck(packet) && !takeAck(client, packet)) {
      client.emit("error", new Error(`${packet.cmd} for a message that awaits another answer`));
      return;
    }
    if (packet.cmd === "pingreq" && isIn) return answerPing(client);
    handle?.call(parser, packet);
    goOn(client);
  };
  // What comes in one piece with the CONNECT waits until that is answered; nothing more is read meanwhile.
  let early: InPacket[] = [];
  client.letIn = () => {
    isIn = true;
    const all = early;
    early = [];
    for (const packet of all) receive(packet);
  };
  if (handle) parser.off("packet", handle as () => void);
  parser.on("packet", (packet: InPacket) => {
    if (client.connecting && !isIn) early.push(packet);
    else receive(packet);
  });
}

/** Here, as aedes spends a thousand bytes on it: a client may send a million of them in one piece. */
function answerPing(client: InnerClient): void {
  client.outbound.say(pingResponse);
  client.publisher.keepAlive();
}

/** Sends on when enough was acknowledged. */
function goOn(client: InnerClient): void {
  const { awaited, outbound } = client;
  if (client.stalled === true && (awaited?.size ?? 0) <= window / 2 && outbound.waiting <= mostUnsent / 4) {
    client.stalled = false;
    client.sendRest?.();
  }
  client.wake?.();
}

type AckPacket = { readonly cmd: Ack; readonly messageId?: number };
type InPacket = Inbound | AckPacket | { readonly cmd: "disconnect" | "pingreq" };

const inbound: ReadonlySet<string> = new Set(["publish", "pubrel", "subscribe", "unsubscribe"]);

function isInbound(packet: InPacket): packet is Inbound {
  return inbound.has(packet.cmd);
}

function isAck(packet: InPacket): packet is AckPacket {
  return packet.cmd === "puback" || packet.cmd === "pubrec" || packet.cmd === "pubcomp";
}

/** @returns false for one that does not belong to the QoS of its message */
function takeAck({ awaited, outbound }: InnerClient, { cmd, messageId = 0 }: AckPacket): boolean {
  const expected = awaited?.get(messageId);
  if (!awaited || expected === undefined) return true;
  outbound.acknowledged();
  if (cmd === "pubrec") awaited.set(messageId, "pubcomp");
  else awaited.delete(messageId);
  return cmd === expected || (cmd === "pubrec" && expected === "pubcomp");
}

/** aedes begins anywhere, and a session that comes back may still have messages under the ids that follow. */
function numberFromOne(client: InnerClient, sessions: Sessions): void {
  let next = 1;
  const isGiven = (id: number): boolean =>
    client.awaited?.has(id) === true || (!client.clean && sessions.isUnderWay(client.id ?? "", id));
  Object.defineProperty(client, "_nextId", {
    get: () => {
      for (let tries = 0; tries < 65_535 && isGiven(next); tries += 1) next = (next % 65_535) + 1;
      return next;
    },
    set: (id: number) => {
      next = id;
    },
  });
}
