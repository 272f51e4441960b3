import type { Seldom } from "#shared/log";
import type { Access } from "#edge/mqttaccess";
import { weightOf, type QoS, type Sessions, type Subscription } from "#edge/mqttsessions";
import { writeGathered, type InnerClient } from "./connection.ts";
import { encodeAnswer, encodeSuback } from "./encode.ts";
import type { FanOut } from "./fan-out.ts";
import { afterEarlier, inOrder } from "./in-order.ts";
import type { RetainedSender } from "./retained-sender.ts";

export interface SubscribingParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly fanOut: FanOut;
  readonly retained: RetainedSender;
  readonly log: Pick<Seldom, "warn">;
  readonly mostLevels: number;
}

export interface Subscribe {
  readonly cmd: "subscribe";
  readonly messageId?: number;
  readonly subscriptions: readonly Subscription[];
}

export interface Unsubscribe {
  readonly cmd: "unsubscribe";
  readonly messageId?: number;
  readonly unsubscriptions: readonly string[];
}

/** The return code of a filter that is refused. */
const refused = 0x80;
/** A client must not fill the memory, nor make each publish look at more filters than that takes a few ms for. */
const mostFilters = 10_000;
const mostWeight = 8 * 1024 * 1024;
/** of all connections and lasting sessions; who has both counts twice */
const mostWeightInAll = 32 * 1024 * 1024;
/** Beyond it, for who has few subscriptions: others may hold all the rest. */
const reservedWeight = 16 * 1024 * 1024;
const mostSmallWeight = 64 * 1024;

interface Answered {
  readonly granted: Map<string, QoS>;
  /** of those that are new */
  weight: number;
  /** one for each filter as it came: aedes would leave out those that come twice */
  readonly codes: number[];
}

/** What clients ask to get, and no longer to get: stored where the session lasts, then answered, in the order it came. */
export class Subscribing {
  readonly #parts: SubscribingParts;

  constructor(parts: SubscribingParts) {
    this.#parts = parts;
  }

  take(client: InnerClient, packet: Subscribe | Unsubscribe): void {
    const filters =
      packet.cmd === "subscribe" ? packet.subscriptions.map(({ topic }) => topic) : packet.unsubscriptions;
    const deep = filters.find((filter) => !isShallow(filter, this.#parts.mostLevels));
    if (deep !== undefined) {
      client.emit("error", new Error(`too many levels: ${JSON.stringify(deep.slice(0, 200))}`));
      return;
    }
    if (packet.cmd === "subscribe") this.#subscribe(client, packet);
    else this.#unsubscribe(client, packet);
  }

  #subscribe(client: InnerClient, { messageId = 0, subscriptions }: Subscribe): void {
    if (client.clean && !client.tail)
      return this.#join(client, messageId, this.#answer(client, subscriptions));
    let answered: Answered | undefined;
    const work = async (): Promise<void> => {
      await afterEarlier(client);
      answered = this.#answer(client, subscriptions);
      if (!client.clean) await this.#parts.sessions.subscribe(client.id ?? "", answered.granted);
    };
    inOrder(client, work(), {
      finish: () => {
        if (answered) this.#join(client, messageId, answered);
      },
    });
  }

  #unsubscribe(client: InnerClient, { messageId = 0, unsubscriptions }: Unsubscribe): void {
    const finish = (): void => {
      if (client.reader) this.#parts.fanOut.leave(client.reader, unsubscriptions);
      write(client, encodeAnswer("unsuback", messageId));
    };
    if (client.clean && !client.tail) return finish();
    const work = async (): Promise<void> => {
      await afterEarlier(client);
      if (!client.clean) await this.#parts.sessions.unsubscribe(client.id ?? "", unsubscriptions);
    };
    inOrder(client, work(), { finish });
  }

  #answer(client: InnerClient, subscriptions: readonly Subscription[]): Answered {
    const answered: Answered = { granted: new Map(), weight: 0, codes: [] };
    for (const { topic, qos } of subscriptions) {
      const problem = this.#problem(client, topic, answered);
      answered.codes.push(problem === undefined ? qos : refused);
      if (problem === undefined) this.#grant(client, { topic, qos }, answered);
      else this.#tell(client, topic, problem);
    }
    return answered;
  }

  #tell({ who, id }: InnerClient, topic: string, problem: string): void {
    const fields = { client: who?.clientId, user: who?.user, topic: topic.slice(0, 200), what: problem };
    this.#parts.log.warn("refused an MQTT client a topic", fields, id ?? "");
  }

  #grant({ reader }: InnerClient, { topic, qos }: Subscription, answered: Answered): void {
    const { fanOut } = this.#parts;
    const isNew = !answered.granted.has(topic) && !(reader && fanOut.wants(reader, topic));
    if (isNew) answered.weight += weightOf(topic);
    answered.granted.set(topic, qos);
  }

  /** @returns what is refused, undefined when nothing is */
  #problem({ reader, who, clean }: InnerClient, topic: string, answered: Answered): string | undefined {
    const { access, fanOut, sessions } = this.#parts;
    if (!reader || !who || !access.maySubscribe(who, topic)) return "subscribe";
    if (answered.granted.has(topic) || fanOut.wants(reader, topic)) return undefined;
    const load = fanOut.loadOf(reader);
    const more = answered.weight + weightOf(topic);
    if (load.filters + answered.granted.size >= mostFilters) return `more than ${mostFilters} subscriptions`;
    if (load.weight + more > mostWeight) return "subscriptions that need too much memory";
    const isSmall = load.weight + more <= mostSmallWeight;
    const inAll = fanOut.weight + sessions.weight + more * (clean ? 1 : 2);
    return inAll <= mostWeightInAll + (isSmall ? reservedWeight : 0)
      ? undefined
      : "more subscriptions than all clients together may have";
  }

  #join(client: InnerClient, messageId: number, { granted, codes }: Answered): void {
    const { reader, conn } = client;
    if (!reader || conn.destroyed) return;
    write(client, encodeSuback(messageId, codes));
    const subscriptions = [...granted].map(([topic, qos]) => ({ topic, qos }));
    this.#parts.fanOut.join(reader, subscriptions);
    client.sendRest?.();
    this.#parts.retained.send(client, subscriptions);
  }
}

function write({ conn }: InnerClient, bytes: Buffer): void {
  if (!conn.destroyed) writeGathered(conn, bytes);
}

function isShallow(filter: string, mostLevels: number): boolean {
  return filter.length < mostLevels || filter.split("/").length <= mostLevels;
}
