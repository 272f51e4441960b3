import type { RetainedRow } from "#edge/store";
import type { BrokerClock } from "./broker-clock.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Journal } from "./journal.ts";
import { parseQos, type BrokerPacket, type QoS } from "#edge/mqtt/packet";

/** Topics examined in a search before other clients get a turn: about a millisecond. */
const mostExamined = 1000;
/** Messages, and bytes of payloads, topics and levels: a client must not fill memory and disk. */
const mostRetained = 100_000;
const mostRetainedBytes = 64 * 1024 * 1024;
/** Measured bytes of a level that no other topic has, which is far more than its text. */
const levelBytes = 256;

interface RetainedLevel {
  next: Map<string, RetainedLevel> | undefined;
  packet: BrokerPacket | undefined;
}

export interface RetainedParts {
  readonly clock: BrokerClock;
  readonly deadlines: Deadlines;
  readonly onRefused: (topic: string) => void;
}

/** The retained message of each topic (MQTT 3.1.1 section 3.3.1.3), in memory and, except for `$SYS`, on disk. */
export class Retained {
  readonly #journal: Journal;
  readonly #clock: BrokerClock;
  readonly #deadlines: Deadlines;
  readonly #onRefused: (topic: string) => void;
  /** when messages expire, by topic */
  readonly #expiring = new Map<string, number>();
  readonly #root: RetainedLevel = { next: undefined, packet: undefined };
  #size = 0;
  #bytes = 0;

  constructor(journal: Journal, rows: Iterable<RetainedRow>, { clock, deadlines, onRefused }: RetainedParts) {
    this.#journal = journal;
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#onRefused = onRefused;
    for (const { topic, qos, payload, properties, expires } of rows)
      this.#set(topic, {
        ...retainedPacket(topic, parseQos(qos), Buffer.from(payload)),
        properties: properties ? Buffer.from(properties) : undefined,
        expiresAtMs: expires ?? undefined,
      });
  }

  get size(): number {
    return this.#size;
  }

  /** Retains a message, or removes the retained one if the payload is empty; on disk with the next commit. */
  put({ topic = "", qos, payload: content = "", properties, expiresAtMs }: BrokerPacket): void {
    const payload = Buffer.from(content);
    const before = this.#find(topic);
    if (payload.length === 0) return this.#remove(topic);
    const packet = { ...retainedPacket(topic, qos, payload), properties, expiresAtMs };
    const bytes = this.#bytes - sizeOf(before) + sizeOf(packet) + this.#newLevels(topic) * levelBytes;
    if (bytes > mostRetainedBytes || (!before && this.#size >= mostRetained)) return this.#refuse(topic);
    this.#set(topic, packet);
    if (!isDurable(topic)) return;
    if (expiresAtMs !== undefined) this.#clock.note();
    const row = { topic, qos, payload, properties: properties ?? null, expires: expiresAtMs ?? null };
    this.#journal.add(`r${topic}`, (sessions) => sessions.putRetained(row));
  }

  /**
   * The messages that a filter covers, one by one; messages retained meanwhile may be among them. Wildcards may have to
   * examine every topic: undefined is a pause, for the caller to let other clients have their turn.
   */
  *match(filter: string): Generator<BrokerPacket | undefined> {
    const wanted = filter.split("/");
    const root = this.#root;
    const isOver = (packet: BrokerPacket): boolean =>
      packet.expiresAtMs !== undefined && packet.expiresAtMs <= this.#clock.nowMs();
    let examined = 0;
    const walk = function* (node: RetainedLevel, depth: number): Generator<BrokerPacket | undefined> {
      examined += 1;
      if (examined % mostExamined === 0) yield undefined;
      const level = wanted[depth];
      const isLast = level === undefined || level === "#";
      if (isLast && node.packet && !isOver(node.packet)) yield node.packet;
      if (level === undefined) return;
      for (const next of below(node, level, node === root))
        yield* walk(next, level === "#" ? depth : depth + 1);
    };
    yield* walk(root, 0);
  }

  /** Removes messages that have expired. */
  expire(): void {
    const nowMs = this.#clock.nowMs();
    for (const [topic, atMs] of this.#expiring) {
      if (atMs <= nowMs) this.#remove(topic);
      else this.#deadlines.note(atMs);
    }
  }

  /** Removes the old message too: no value is better than a stale one. */
  #refuse(topic: string): void {
    this.#remove(topic);
    this.#onRefused(topic);
  }

  #remove(topic: string): void {
    if (!this.#find(topic)) return;
    this.#set(topic, undefined);
    if (isDurable(topic)) this.#journal.add(`r${topic}`, (sessions) => sessions.removeRetained(topic));
  }

  #find(topic: string): BrokerPacket | undefined {
    let node: RetainedLevel | undefined = this.#root;
    for (const level of topic.split("/")) node = node?.next?.get(level);
    return node?.packet;
  }

  /** Number of levels that the topic would add. */
  #newLevels(topic: string): number {
    const levels = topic.split("/");
    let node: RetainedLevel | undefined = this.#root;
    let known = 0;
    for (; known < levels.length && node; known += 1) node = node.next?.get(levels[known] ?? "");
    return node ? 0 : levels.length - known + 1;
  }

  #set(topic: string, packet: BrokerPacket | undefined): void {
    const path: [RetainedLevel, string][] = [];
    let node = this.#root;
    for (const level of topic.split("/")) {
      path.push([node, level]);
      node = node.next?.get(level) ?? this.#grow(node, level);
    }
    this.#bytes += sizeOf(packet) - sizeOf(node.packet);
    this.#watch(topic, packet?.expiresAtMs);
    this.#size += Number(packet !== undefined) - Number(node.packet !== undefined);
    node.packet = packet;
    this.#tidy(path);
  }

  /** Removes levels that lead to nothing. */
  #tidy(path: readonly [RetainedLevel, string][]): void {
    for (const [parent, level] of path.toReversed()) {
      const child = parent.next?.get(level);
      if (!child || child.packet || (child.next?.size ?? 0) > 0) break;
      parent.next?.delete(level);
      this.#bytes -= levelBytes;
    }
  }

  #watch(topic: string, expiresAtMs: number | undefined): void {
    if (expiresAtMs === undefined) return void this.#expiring.delete(topic);
    this.#expiring.set(topic, expiresAtMs);
    this.#deadlines.note(expiresAtMs);
  }

  #grow(parent: RetainedLevel, level: string): RetainedLevel {
    const next: RetainedLevel = { next: undefined, packet: undefined };
    (parent.next ??= new Map()).set(level, next);
    this.#bytes += levelBytes;
    return next;
  }
}

/** The children that a level of a filter covers; a leading wildcard does not match `$` topics (section 4.7.2). */
function* below(parent: RetainedLevel, level: string, isRoot: boolean): Generator<RetainedLevel> {
  if (level !== "#" && level !== "+") {
    const next = parent.next?.get(level);
    if (next) yield next;
    return;
  }
  for (const [name, next] of parent.next ?? []) if (!isRoot || !name.startsWith("$")) yield next;
}

function isDurable(topic: string): boolean {
  return !topic.startsWith("$SYS/");
}

function sizeOf(packet: BrokerPacket | undefined): number {
  if (!packet) return 0;
  return (packet.topic?.length ?? 0) + (packet.payload?.length ?? 0) + (packet.properties?.length ?? 0);
}

function retainedPacket(topic: string, qos: QoS, payload: Buffer): BrokerPacket {
  return { cmd: "publish", topic, qos, retain: true, payload };
}
