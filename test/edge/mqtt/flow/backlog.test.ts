import { expect, test } from "bun:test";
import { Duplex } from "node:stream";
import { OutboundBacklog, type Outbound, type Publisher } from "#edge/mqtt/flow";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";

const mib = 1024 * 1024;

/** A socket that sends what it is given when the test says so. */
class HeldConn extends Duplex {
  sent = "";
  isOpen = false;
  #held: (() => void) | undefined;

  constructor() {
    super({ autoDestroy: false });
    this.on("error", () => undefined);
  }

  override _read(): void {
    // Nothing comes.
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.sent += chunk.toString("latin1");
    if (this.isOpen) done();
    else this.#held = done;
  }

  /** Sends the piece it has, and takes the next. */
  send(): void {
    const held = this.#held;
    this.#held = undefined;
    held?.();
  }
}

interface Rig {
  readonly clock: FakeClock;
  readonly backlog: OutboundBacklog;
  readonly dropped: string[];
  readonly cut: string[];
  open(client: string): { readonly conn: HeldConn; readonly outbound: Outbound };
}

function rig(mostBytes = 64 * mib): Rig {
  const [clock, dropped, cut]: [FakeClock, string[], string[]] = [new FakeClock(), [], []];
  const backlog = new OutboundBacklog({
    mostBytes,
    maxPacketBytes: mib,
    clock,
    onDropped: ({ client }, messages) => dropped.push(`${client()} ${messages}`),
    onCut: ({ client }) => cut.push(client()),
  });
  return {
    clock,
    backlog,
    dropped,
    cut,
    open: (client) => {
      const conn = new HeldConn();
      return { conn, outbound: backlog.open(conn, () => client) };
    },
  };
}

function fill(outbound: Outbound, bytes: number, mayDrop = true): void {
  for (let left = bytes; left > 0; left -= 100_000)
    outbound.push({ bytes: Buffer.alloc(Math.min(left, 100_000)), mayDrop });
}

function publisherOf(outbound: Outbound): Publisher & { resumed: number } {
  return {
    outbound,
    isHeld: false,
    resumed: 0,
    resume() {
      this.resumed += 1;
    },
    keepAlive: () => undefined,
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("outbound sends what may be dropped and what may not in order", async () => {
  const { open } = rig();
  const { conn, outbound } = open("a");
  conn.isOpen = true;
  for (let n = 0; n < 300; n += 1) {
    outbound.send(Buffer.from(`<${n}`));
    outbound.push({ bytes: Buffer.from(`|${n}>`), mayDrop: n % 2 === 0 });
  }
  outbound.send(Buffer.alloc(100_000, "x"));
  await outbound.drained(0);
  expect(conn.sent).toBe(Array.from({ length: 300 }, (_, n) => `<${n}|${n}>`).join("") + "x".repeat(100_000));
});

test("outbound drops only the oldest messages of QoS 0 when too much waits for a client", async () => {
  const { open, dropped, cut } = rig();
  const { conn, outbound } = open("a");
  outbound.send(Buffer.from("first"));
  await turn();
  for (let n = 0; n < 12; n += 1) {
    outbound.push({ bytes: Buffer.alloc(mib, String.fromCharCode(65 + n)), mayDrop: true });
    outbound.send(Buffer.from(`kept${n}`));
  }
  expect(outbound.waiting).toBeLessThanOrEqual(8 * mib);
  conn.isOpen = true;
  conn.send();
  await outbound.drained(0);
  expect(conn.sent.replaceAll(/([A-Z])\1{1000,}/g, "<$1>")).toBe(
    "firstkept0kept1kept2kept3kept4<F>kept5<G>kept6<H>kept7<I>kept8<J>kept9<K>kept10<L>kept11",
  );
  expect([dropped, cut, outbound.dropped]).toEqual([Array.from({ length: 5 }, () => "a 1"), [], 5]);
});

test("backlog disconnects a client when too much waits for it that may not be dropped", () => {
  const { open, cut, backlog } = rig();
  const { conn, outbound } = open("a");
  fill(outbound, 9 * mib, false);
  expect([cut, conn.destroyed, backlog.bytes, backlog.cut]).toEqual([["a"], true, 0, 1]);
});

test("backlog drops messages of a client that reads nothing before those of one that reads, even if more wait for it", async () => {
  const { open, clock, dropped, cut, backlog } = rig(20 * mib);
  const clients = Array.from({ length: 5 }, (_, n) => open(`dead-${n}`));
  for (const { outbound } of clients) fill(outbound, 3 * mib);
  const live = open("live");
  await turn();
  await clock.advance(5000);
  fill(live.outbound, 2 * mib);
  await turn();
  for (let n = 0; n < 50; n += 1) {
    fill(live.outbound, 100_000);
    live.conn.send();
    await turn();
  }
  expect(dropped.length).toBeGreaterThan(0);
  expect(dropped.filter((line) => line.startsWith("live"))).toEqual([]);
  expect(cut).toEqual([]);
  expect(backlog.bytes).toBeLessThanOrEqual(20 * mib);
});

test("backlog disconnects the client with the most when nothing may be dropped", () => {
  const { open, cut, backlog } = rig(16 * mib);
  const clients = Array.from({ length: 10 }, (_, n) => open(`c${n}`));
  for (const [n, { outbound }] of clients.entries()) fill(outbound, (n === 7 ? 3 : 1.5) * mib, false);
  expect(cut).toEqual(["c7"]);
  expect(backlog.bytes).toBeLessThanOrEqual(16 * mib);
});

test("pacing pauses a publisher while a subscriber reads and is behind, and no longer", async () => {
  const { open, clock, backlog } = rig();
  const reader = open("reader");
  const publisher = publisherOf(open("publisher").outbound);
  fill(reader.outbound, 3 * mib);
  backlog.pace(publisher, reader.outbound);
  expect(publisher.isHeld).toBe(false);
  fill(reader.outbound, 2 * mib);
  backlog.pace(publisher, reader.outbound);
  expect(publisher.isHeld).toBe(true);
  await clock.advance(1000);
  for (let n = 0; n < 40; n += 1) {
    reader.conn.send();
    await turn();
  }
  expect(publisher.isHeld).toBe(true);
  reader.conn.isOpen = true;
  reader.conn.send();
  await reader.outbound.drained(0);
  expect([publisher.isHeld, publisher.resumed]).toEqual([false, 1]);
});

test("pacing resumes a publisher when the subscriber stalls, and does not pause it for that one again", async () => {
  const { open, clock, backlog } = rig();
  const reader = open("reader");
  const publisher = publisherOf(open("publisher").outbound);
  fill(reader.outbound, 5 * mib);
  backlog.pace(publisher, reader.outbound);
  await clock.advance(2500);
  expect([publisher.isHeld, publisher.resumed]).toEqual([false, 1]);
  backlog.pace(publisher, reader.outbound);
  expect(publisher.isHeld).toBe(false);
});

test("pacing pauses publishers for at most five seconds for a subscriber that reads but stays behind", async () => {
  const { open, clock, backlog } = rig();
  const reader = open("reader");
  const publisher = publisherOf(open("publisher").outbound);
  let heldMs = 0;
  for (let ms = 0; ms < 60_000; ms += 100) {
    fill(reader.outbound, 5 * mib - reader.outbound.waiting);
    backlog.pace(publisher, reader.outbound);
    if (publisher.isHeld) heldMs += 100;
    reader.conn.send();
    await clock.advance(100);
  }
  expect(heldMs).toBeWithin(4800, 5600);
});

test("pacing pauses a publisher for at most a tenth of its time, however many subscribers are behind", async () => {
  const { open, clock, backlog } = rig();
  const publisher = publisherOf(open("publisher").outbound);
  let heldMs = 0;
  for (let ms = 0; ms < 100_000; ms += 1000) {
    const reader = open(`r${ms}`);
    fill(reader.outbound, 5 * mib);
    for (let n = 0; n < 10; n += 1) {
      backlog.pace(publisher, reader.outbound);
      if (publisher.isHeld) heldMs += 100;
      reader.conn.send();
      await clock.advance(100);
    }
    reader.conn.destroy();
    await turn();
  }
  expect(heldMs).toBeWithin(5000, 17_000);
});

test("pacing never pauses a client for itself", () => {
  const { open, backlog } = rig();
  const { outbound } = open("loop");
  const publisher = publisherOf(outbound);
  fill(outbound, 5 * mib);
  backlog.pace(publisher, outbound);
  expect(publisher.isHeld).toBe(false);
});

test("pacing resumes a publisher when the subscriber disconnects", async () => {
  const { open, backlog } = rig();
  const reader = open("reader");
  const publisher = publisherOf(open("publisher").outbound);
  fill(reader.outbound, 5 * mib);
  backlog.pace(publisher, reader.outbound);
  reader.conn.destroy();
  await turn();
  expect([publisher.isHeld, publisher.resumed, backlog.bytes]).toEqual([false, 1, 0]);
});
