import { afterAll } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import * as fc from "fast-check";
import { generate, parser, type Packet } from "mqtt-packet";
import { PacketError, PacketStream } from "#edge/mqtt/packet";
import { startMeasured, type MeasuredBroker } from "#internal/test/security/mqtt/measured-broker.ts";
import { connectPacket, openRaw, type RawClient } from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";
import { connecting, connecting5, messageId, packet, packet5 } from "./mqtt-arbitraries.ts";

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

/** What all clients of the fuzzing may add to the broker's memory. */
const mostGrowthMb = 200;

interface Rig {
  readonly broker: MeasuredBroker;
  readonly healthy: RawClient;
  readonly beforeMb: number;
  runs: number;
  /** What was sent last: the fault may be of the run before. */
  readonly recent: string[];
}

async function startRig(): Promise<Rig> {
  const dir = stack.use(tempDir("fuzz-mqtt"));
  const broker = stack.use(await startMeasured(dir.path, { maxPacketBytes: 64 * 1024 }));
  const healthy = stack.use(await openRaw(broker.mqttPort));
  healthy.send(connectPacket("healthy"));
  await healthy.next();
  return { broker, healthy, beforeMb: broker.residentMb(), runs: 0, recent: [] };
}

/** Runs with a broker that the run before has not killed, so that smaller cases can be looked for. */
async function withRigs(): Promise<(run: (rig: Rig) => Promise<void>) => Promise<void>> {
  let rig: Rig | undefined = await startRig();
  return async (run) => {
    const current = (rig ??= await startRig());
    try {
      await run(current);
    } catch (error) {
      rig = undefined;
      throw error;
    }
  };
}

/** The broker is alive, answers a client that does nothing wrong, and needs no more memory than it may. */
async function expectHealthy(rig: Rig): Promise<void> {
  const { broker, healthy, beforeMb } = rig;
  const messageId = (rig.runs % 60_000) + 1;
  rig.runs += 1;
  healthy.send({
    cmd: "publish",
    topic: "healthy",
    payload: "x",
    qos: 1,
    messageId,
    dup: false,
    retain: false,
  });
  const answer = await Promise.race([healthy.next(), healthy.closed, Bun.sleep(10_000)]);
  const { cmd, messageId: id } = (answer ?? {}) as Packet;
  if (cmd !== "puback" || id !== messageId)
    throw new Error(`a healthy client got ${JSON.stringify(answer)} after\n${rig.recent.join("\n")}`);
  if (rig.runs % 100 !== 0) return;
  const growthMb = broker.residentMb() - beforeMb;
  if (growthMb > mostGrowthMb) throw new Error(`the broker has grown by ${Math.round(growthMb)} MB`);
  const bad = (await broker.log()).find((line) => /"level":"error"/.test(JSON.stringify(line)));
  if (bad) throw new Error(JSON.stringify(bad));
}

/** Empty for what the library itself does not write, such as an empty topic. */
function bytesOf(packet: object, protocolVersion: 4 | 5 = 4): Buffer {
  try {
    return generate(packet as Packet, { protocolVersion });
  } catch {
    return Buffer.alloc(0);
  }
}

type Change = readonly ["flip" | "cut" | "double" | "insert" | "length", number, Uint8Array];
const change: fc.Arbitrary<Change> = fc.tuple(
  fc.constantFrom("flip", "flip", "cut", "double", "insert", "length"),
  fc.nat(),
  fc.uint8Array({ minLength: 1, maxLength: 8 }),
);

/** Most are as they should be: the first that is not ends the connection. */
const maybeChange: fc.Arbitrary<Change | null> = fc.oneof(
  { weight: 6, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: change },
);

function changed(bytes: Buffer, [how, place, noise]: Change): Buffer {
  const at = bytes.length === 0 ? 0 : place % bytes.length;
  switch (how) {
    case "flip": {
      const copy = Buffer.from(bytes);
      if (copy.length > 0) copy[at] = (copy[at] ?? 0) ^ (noise[0] ?? 1);
      return copy;
    }
    case "cut":
      return bytes.subarray(0, at);
    case "double":
      return Buffer.concat([bytes, bytes.subarray(0, at)]);
    case "insert":
      return Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)]);
    case "length":
      return Buffer.concat([bytes.subarray(0, 1), noise, bytes.subarray(2)]);
  }
}

async function openSocket({ mqttPort }: MeasuredBroker): Promise<Socket> {
  const socket = connect(mqttPort, "127.0.0.1");
  socket.setNoDelay(true);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

interface Reply {
  /** what the broker said that is no MQTT */
  problem: Error | undefined;
  /** It was let in. */
  isIn: boolean;
  /** It is closed, or has got the answer to a PINGREQ. */
  readonly done: Promise<void>;
}

function listen(socket: Socket, protocolVersion: 4 | 5): Reply {
  const done = Promise.withResolvers<void>();
  const reply: Reply = { problem: undefined, isIn: false, done: done.promise };
  const answers = parser({ protocolVersion });
  answers.on("error", (error: Error) => (reply.problem ??= error));
  answers.on("packet", (answer) => {
    if (answer.cmd === "connack" && (answer.returnCode ?? answer.reasonCode) === 0) reply.isIn = true;
    if (answer.cmd === "pingresp") done.resolve();
  });
  socket.on("data", (bytes) => void answers.parse(bytes));
  socket.on("close", () => done.resolve());
  return reply;
}

/** Sends them and a PINGREQ, and waits a moment for what comes of it. */
async function sendAll(rig: Rig, pieces: readonly Uint8Array[], protocolVersion: 4 | 5 = 4): Promise<Reply> {
  rig.recent.push(Buffer.concat(pieces).toString("hex").slice(0, 2000));
  rig.recent.splice(0, rig.recent.length - 3);
  const socket = await openSocket(rig.broker);
  const reply = listen(socket, protocolVersion);
  for (const piece of pieces) socket.write(piece);
  socket.write(generate({ cmd: "pingreq" }));
  // What was damaged may have swallowed it.
  await Promise.race([reply.done, Bun.sleep(50)]);
  await expectHealthy(rig);
  socket.destroy();
  if (reply.problem) throw reply.problem;
  return reply;
}

const garbage = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const opening = fc.oneof(
  { weight: 9, arbitrary: connecting.map((fields) => bytesOf(fields)) },
  { weight: 1, arbitrary: garbage },
);
const following = fc.tuple(
  fc.oneof(
    { weight: 15, arbitrary: packet.map((fields) => bytesOf(fields)) },
    { weight: 1, arbitrary: garbage },
  ),
  maybeChange,
);

fuzz("MQTT packets", async () => {
  const withRig = await withRigs();
  let letIn = 0;
  return fc.asyncProperty(opening, fc.array(following, { maxLength: 8 }), (first, others) =>
    withRig(async (rig) => {
      const rest = others.map(([bytes, how]) => (how ? changed(bytes, how) : bytes));
      const { isIn } = await sendAll(rig, [first, ...rest]);
      letIn += Number(isIn);
      if (rig.runs === 200 && letIn === 0) throw new Error("nobody was let in: this fuzzes nothing");
    }),
  );
});

const following5 = fc.tuple(
  packet5.map((fields) => bytesOf(fields, 5)),
  maybeChange,
);

fuzz("MQTT 5 packets", async () => {
  const withRig = await withRigs();
  let letIn = 0;
  return fc.asyncProperty(connecting5, fc.array(following5, { maxLength: 8 }), (first, others) =>
    withRig(async (rig) => {
      const rest = others.map(([bytes, how]) => (how ? changed(bytes, how) : bytes));
      const { isIn } = await sendAll(rig, [bytesOf(first, 5), ...rest], 5);
      letIn += Number(isIn);
      if (rig.runs === 200 && letIn === 0) throw new Error("nobody was let in: this fuzzes nothing");
    }),
  );
});

/** What a stream makes of bytes that arrive in pieces of these lengths: packets, and the problem that ended it. */
function decodeInPieces(bytes: Buffer, lengths: readonly number[]): string[] {
  const stream = new PacketStream(64 * 1024);
  const seen: string[] = [];
  try {
    for (let [at, piece] = [0, 0]; at < bytes.length; piece += 1) {
      const length = lengths[piece % lengths.length] ?? bytes.length;
      stream.push(bytes.subarray(at, at + length), (each) => {
        seen.push(JSON.stringify(each));
        return true;
      });
      at += length;
    }
  } catch (error) {
    if (!(error instanceof PacketError)) throw error;
    seen.push(error.message);
  }
  return seen;
}

fuzz("bytes of MQTT 5 in pieces", () =>
  fc.property(
    connecting5,
    fc.array(fc.oneof(following5, fc.tuple(garbage, maybeChange)), { maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 }),
    (first, others, lengths) => {
      const rest = others.map(([bytes, how]) => (how ? changed(bytes, how) : bytes));
      const bytes = Buffer.concat([bytesOf(first, 5), ...rest]);
      const [whole, pieces] = [decodeInPieces(bytes, [bytes.length || 1]), decodeInPieces(bytes, lengths)];
      if (JSON.stringify(whole) !== JSON.stringify(pieces))
        throw new Error(`${JSON.stringify(pieces)} instead of ${JSON.stringify(whole)}`);
    },
  ),
);

/** Packets that a client may send, of which all answers come in the order of the questions. */
const plain: fc.Arbitrary<Packet> = fc.oneof(
  fc.record({
    cmd: fc.constant("publish" as const),
    topic: fc.constantFrom("own/a", "own/b/c", "é"),
    payload: fc.constantFrom("", "x", "y".repeat(200)),
    qos: fc.constantFrom(0 as const, 1 as const),
    messageId,
    retain: fc.constant(false),
    dup: fc.constant(false),
  }),
  fc.record({
    cmd: fc.constant("subscribe" as const),
    messageId,
    subscriptions: fc.array(
      fc.record({
        topic: fc.constantFrom("own/#", "own/+", "é"),
        qos: fc.constantFrom(0 as const, 1 as const),
      }),
      { minLength: 1, maxLength: 2 },
    ),
  }),
  fc.record({
    cmd: fc.constant("unsubscribe" as const),
    messageId,
    unsubscriptions: fc.array(fc.constantFrom("own/#", "own/+"), { minLength: 1, maxLength: 2 }),
  }),
);

/** What the broker answers to packets that come in pieces of these lengths, the last of them again and again. */
async function answersTo(
  broker: MeasuredBroker,
  bytes: Buffer,
  pieces: readonly number[],
): Promise<string[]> {
  const socket = await openSocket(broker);
  const answers = parser({ protocolVersion: 4 });
  const got: string[] = [];
  const done = Promise.withResolvers<void>();
  answers.on("packet", (answer) => {
    got.push(JSON.stringify(answer));
    if (answer.cmd === "pingresp") done.resolve();
  });
  socket.on("data", (part) => void answers.parse(part));
  socket.on("close", () => done.reject(new Error(`closed after ${got.length} answers`)));
  for (let [at, piece] = [0, 0]; at < bytes.length; piece += 1) {
    const length = pieces[Math.min(piece, pieces.length - 1)] ?? bytes.length;
    socket.write(bytes.subarray(at, at + length));
    at += length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await done.promise;
  socket.destroy();
  return got;
}

fuzz("MQTT packets in pieces", async () => {
  const withRig = await withRigs();
  return fc.asyncProperty(
    fc.array(plain, { maxLength: 6 }),
    fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 10 }),
    (packets, pieces) =>
      withRig(async (rig) => {
        const all = [connectPacket("piecemeal"), ...packets, { cmd: "pingreq" } as const];
        const bytes = Buffer.concat(all.map((one) => generate(one)));
        const whole = await answersTo(rig.broker, bytes, [bytes.length]);
        const pieced = await answersTo(rig.broker, bytes, pieces);
        if (JSON.stringify(pieced) !== JSON.stringify(whole))
          throw new Error(`whole:  ${whole.join(" ")}\npieces: ${pieced.join(" ")}`);
        await expectHealthy(rig);
      }),
  );
});
