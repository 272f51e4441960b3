import type { Seldom } from "#shared/log";
import type { Access } from "#edge/mqttaccess";
import type { QoS, Sessions, Subscription } from "#edge/mqttsessions";
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
/** A client must not fill the memory. */
const mostFilters = 10_000;

interface Answered {
  readonly granted: ReadonlyMap<string, QoS>;
  /** one for each filter as it came: aedes would leave out those that come twice */
  readonly codes: readonly number[];
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
    const granted = new Map<string, QoS>();
    const codes = subscriptions.map(({ topic, qos }) => {
      const problem = this.#problem(client, topic, granted);
      if (problem === undefined) granted.set(topic, qos);
      else
        this.#parts.log.warn("refused an MQTT client a topic", {
          client: client.id,
          user: client.who?.user,
          topic,
          what: problem,
        });
      return problem === undefined ? qos : refused;
    });
    return { granted, codes };
  }

  /** @returns what is refused, undefined when nothing is */
  #problem(
    { reader, who }: InnerClient,
    topic: string,
    granted: ReadonlyMap<string, QoS>,
  ): string | undefined {
    const { access, fanOut } = this.#parts;
    if (!reader || !who || !access.maySubscribe(who, topic)) return "subscribe";
    if (granted.has(topic) || fanOut.wants(reader, topic)) return undefined;
    return fanOut.filtersOf(reader) + granted.size < mostFilters
      ? undefined
      : `more than ${mostFilters} subscriptions`;
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
