import type { Socket } from "bun";
import { generate, type Packet } from "mqtt-packet";

/** What is measured: publishers send to one subscriber, each with some messages unacknowledged at a time. */
export interface MqttLoad {
  readonly port: number;
  readonly protocolVersion: 4 | 5;
  readonly qos: 0 | 1;
  readonly payloadBytes: number;
  /** of all publishers together */
  readonly messages: number;
  readonly publishers: number;
  readonly window: number;
}

/** Bytes that may be under way to the subscriber of QoS 0: well below what the broker keeps for one client before it drops. */
const mostUnderWay = 1024 * 1024;

interface RawSocket {
  readonly send: (bytes: Buffer) => void;
  readonly close: () => void;
}

/**
 * Messages a second from the first PUBLISH to the last one that arrives. The clients only count packets, so that it is the
 * broker that is measured.
 */
export async function messagesPerSecond(load: MqttLoad): Promise<number> {
  const { messages, publishers } = load;
  const done = Promise.withResolvers<void>();
  let got = 0;
  const senders: (() => void)[] = [];
  const subscriber = await open(load, (type, bytes, start) => {
    if (type !== 3) return undefined;
    got += 1;
    if (got === messages) done.resolve();
    if (load.qos === 0 && got % 100 === 0) for (const send of senders) send();
    return load.qos === 1 ? ackOf(bytes, start) : undefined;
  });
  await subscriber.request({
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: "b/+", qos: load.qos }],
  });
  const mostAhead = Math.max(publishers * 20, Math.floor(mostUnderWay / load.payloadBytes));
  let sent = 0;
  const sockets: RawSocket[] = [subscriber];
  const starts: (() => void)[] = [];
  for (let n = 0; n < publishers; n += 1) {
    let [mine, acknowledged] = [0, 0];
    const isFree = (): boolean =>
      mine < messages / publishers &&
      (load.qos === 1 ? mine - acknowledged < load.window : sent - got < mostAhead);
    const send = (): void => {
      const batch: Buffer[] = [];
      while (isFree() && batch.length < load.window) {
        mine += 1;
        sent += 1;
        batch.push(numbered(frame, mine));
      }
      if (batch.length > 0) publisher.send(Buffer.concat(batch));
    };
    const frame = frameOf(load, `b/${n}`);
    const publisher = await open(load, (type) => {
      if (type === 4) {
        acknowledged += 1;
        if ((mine - acknowledged) * 2 <= load.window || acknowledged === mine) send();
      }
      return undefined;
    });
    senders.push(send);
    starts.push(send);
    sockets.push(publisher);
  }
  const startMs = performance.now();
  for (const start of starts) start();
  await done.promise;
  const seconds = (performance.now() - startMs) / 1000;
  for (const socket of sockets) socket.close();
  return Math.round(messages / seconds);
}

/** Idle connections, accepted by the broker. */
export async function openIdle(port: number, protocolVersion: 4 | 5, count: number): Promise<RawSocket[]> {
  const sockets: RawSocket[] = [];
  for (let n = 0; n < count; n += 1) sockets.push(await open({ port, protocolVersion }, () => undefined));
  return sockets;
}

/** Handles a packet. @returns what is to be answered */
type OnPacket = (type: number, bytes: Buffer, start: number) => Buffer | undefined;

async function open(
  { port, protocolVersion }: Pick<MqttLoad, "port" | "protocolVersion">,
  onPacket: OnPacket,
): Promise<RawSocket & { request(packet: Packet): Promise<void> }> {
  let answered = Promise.withResolvers<void>();
  let rest: Buffer = Buffer.alloc(0);
  let unsent: Buffer = Buffer.alloc(0);
  const flush = (socket: Socket): void => {
    if (unsent.length > 0) unsent = unsent.subarray(Math.max(0, socket.write(unsent)));
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      drain: flush,
      data: (own, chunk) => {
        const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        const answers: Buffer[] = [];
        let start = 0;
        for (let end = endOf(bytes, start); end !== undefined; end = endOf(bytes, start)) {
          const type = (bytes[start] ?? 0) >> 4;
          if (type === 2 || type === 9) answered.resolve();
          const answer = onPacket(type, bytes, start);
          if (answer) answers.push(answer);
          start = end;
        }
        rest = Buffer.from(bytes.subarray(start));
        if (answers.length > 0) {
          unsent = Buffer.concat([unsent, ...answers]);
          flush(own);
        }
      },
    },
  });
  const send = (bytes: Buffer): void => {
    unsent = unsent.length === 0 ? bytes : Buffer.concat([unsent, bytes]);
    flush(socket);
  };
  const request = async (packet: Packet): Promise<void> => {
    answered = Promise.withResolvers();
    send(generate(packet, { protocolVersion }));
    await answered.promise;
  };
  const clientId = `b${Math.random().toString(36).slice(2, 12)}`;
  const receiveMaximum = protocolVersion === 5 ? { properties: { receiveMaximum: 65_535 } } : {};
  await request({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion,
    clientId,
    clean: true,
    keepalive: 0,
    ...receiveMaximum,
  });
  return { send, request, close: () => void socket.end() };
}

/** Where the packet that starts at `start` ends, undefined when it is not there to its end. */
function endOf(bytes: Buffer, start: number): number | undefined {
  let length = 0;
  for (let index = 0; index < 4; index += 1) {
    const byte = bytes[start + 1 + index];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) << (7 * index);
    const end = start + 2 + index + length;
    if (byte < 0x80) return end <= bytes.length ? end : undefined;
  }
  return undefined;
}

function frameOf({ protocolVersion, qos, payloadBytes }: MqttLoad, topic: string): Buffer {
  const payload = Buffer.alloc(payloadBytes, 65);
  return generate(
    { cmd: "publish", topic, payload, qos, dup: false, retain: false, ...(qos > 0 && { messageId: 1 }) },
    { protocolVersion },
  );
}

/** The same packet with another message id. */
function numbered(frame: Buffer, count: number): Buffer {
  if (((frame[0] ?? 0) & 6) === 0) return frame;
  const copy = Buffer.from(frame);
  copy.writeUInt16BE((count % 65_535) + 1, idAt(copy, 0));
  return copy;
}

function idAt(bytes: Buffer, start: number): number {
  let at = start + 1;
  while ((bytes[at] ?? 0) >= 0x80) at += 1;
  return at + 3 + bytes.readUInt16BE(at + 1);
}

function ackOf(bytes: Buffer, start: number): Buffer {
  const id = idAt(bytes, start);
  return Buffer.from([0x40, 2, bytes[id] ?? 0, bytes[id + 1] ?? 0]);
}
