import type { RetainedRow } from "#edge/store";
import type { Journal } from "./journal.ts";
import type { BrokerPacket, QoS } from "#edge/mqtt/packet";

/** Topics looked at before others have a turn. */
const piece = 1000;
/** A client must not fill memory and disk. */
const mostRetained = 100_000;
const mostRetainedBytes = 64 * 1024 * 1024;
/** About what a level that no other topic has takes, which is far more than its text. */
const levelBytes = 256;

interface Level {
  next: Map<string, Level> | undefined;
  packet: BrokerPacket | undefined;
}

/** The last retained message of each topic, in memory and, but for `$SYS`, on disk. */
export class Retained {
  readonly #journal: Journal;
  readonly #onRefused: (topic: string) => void;
  readonly #root: Level = { next: undefined, packet: undefined };
  #size = 0;
  #bytes = 0;

  constructor(journal: Journal, rows: Iterable<RetainedRow>, onRefused: (topic: string) => void) {
    this.#journal = journal;
    this.#onRefused = onRefused;
    for (const { topic, qos, payload } of rows)
      this.#set(topic, retainedPacket(topic, qos, Buffer.from(payload)));
  }

  get size(): number {
    return this.#size;
  }

  /** Takes a retained message over, an empty one as the end of what was there; on disk with the next commit. */
  put({ topic = "", qos, payload: given = "" }: BrokerPacket): void {
    const payload = Buffer.from(given);
    const before = this.#find(topic);
    if (payload.length === 0) return this.#remove(topic);
    const bytes =
      this.#bytes - sizeOf(before) + topic.length + payload.length + this.#newLevels(topic) * levelBytes;
    if (bytes > mostRetainedBytes || (!before && this.#size >= mostRetained)) return this.#refuse(topic);
    this.#set(topic, retainedPacket(topic, qos, payload));
    if (isDurable(topic)) this.#journal.add(`r${topic}`, (to) => to.putRetained({ topic, qos, payload }));
  }

  /**
   * What a filter covers, one after another; what is put meanwhile may be among it. Wildcards may have to look at every
   * topic: undefined says that it is time for others.
   */
  *match(filter: string): Generator<BrokerPacket | undefined> {
    const wanted = filter.split("/");
    const root = this.#root;
    let looked = 0;
    const walk = function* (at: Level, depth: number): Generator<BrokerPacket | undefined> {
      looked += 1;
      if (looked % piece === 0) yield undefined;
      const level = wanted[depth];
      const isLast = level === undefined || level === "#";
      if (isLast && at.packet) yield at.packet;
      if (level === undefined) return;
      for (const next of below(at, level, at === root)) yield* walk(next, level === "#" ? depth : depth + 1);
    };
    yield* walk(root, 0);
  }

  /** Who subscribes gets nothing rather than what is over. */
  #refuse(topic: string): void {
    this.#remove(topic);
    this.#onRefused(topic);
  }

  #remove(topic: string): void {
    if (!this.#find(topic)) return;
    this.#set(topic, undefined);
    if (isDurable(topic)) this.#journal.add(`r${topic}`, (to) => to.removeRetained(topic));
  }

  #find(topic: string): BrokerPacket | undefined {
    let at: Level | undefined = this.#root;
    for (const level of topic.split("/")) at = at?.next?.get(level);
    return at?.packet;
  }

  /** Levels of the topic that are not there. */
  #newLevels(topic: string): number {
    const levels = topic.split("/");
    let at: Level | undefined = this.#root;
    let known = 0;
    for (; known < levels.length && at; known += 1) at = at.next?.get(levels[known] ?? "");
    return at ? 0 : levels.length - known + 1;
  }

  #set(topic: string, packet: BrokerPacket | undefined): void {
    const path: [Level, string][] = [];
    let at = this.#root;
    for (const level of topic.split("/")) {
      path.push([at, level]);
      at = at.next?.get(level) ?? this.#grow(at, level);
    }
    this.#bytes += sizeOf(packet) - sizeOf(at.packet);
    this.#size += Number(packet !== undefined) - Number(at.packet !== undefined);
    at.packet = packet;
    for (const [parent, level] of path.toReversed()) {
      const child = parent.next?.get(level);
      if (!child || child.packet || (child.next?.size ?? 0) > 0) break;
      parent.next?.delete(level);
      this.#bytes -= levelBytes;
    }
  }

  #grow(at: Level, level: string): Level {
    const next: Level = { next: undefined, packet: undefined };
    (at.next ??= new Map()).set(level, next);
    this.#bytes += levelBytes;
    return next;
  }
}

/** The levels below one that a level of a filter covers; `$` topics are not for wildcards. */
function* below(at: Level, level: string, isRoot: boolean): Generator<Level> {
  if (level !== "#" && level !== "+") {
    const next = at.next?.get(level);
    if (next) yield next;
    return;
  }
  for (const [name, next] of at.next ?? []) if (!isRoot || !name.startsWith("$")) yield next;
}

function isDurable(topic: string): boolean {
  return !topic.startsWith("$SYS/");
}

function sizeOf(packet: BrokerPacket | undefined): number {
  return packet ? (packet.topic?.length ?? 0) + (packet.payload?.length ?? 0) : 0;
}

function retainedPacket(topic: string, qos: number, payload: Buffer): BrokerPacket {
  return { cmd: "publish", topic, qos: qos as QoS, retain: true, payload };
}
