import { PacketError, reasons, type Publish } from "#edge/mqtt/packet";

/** Characters of all topics that a client gives aliases: they stay in memory for as long as it is connected. */
const mostCharacters = 16 * 1024;

/** Topics that a client has given numbers (MQTT 5 section 3.3.2.3.4). */
export class InboundAliases {
  readonly #most: number;
  readonly #topics = new Map<number, string>();
  #characters = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** @returns the packet with its topic. @throws PacketError when its alias is out of range or stands for nothing */
  resolve(packet: Publish): Publish {
    const { topic, topicAlias: alias } = packet;
    if (alias === undefined) {
      if (topic === "") throw new PacketError("PUBLISH without a topic", reasons.protocolError);
      return packet;
    }
    if (alias === 0 || alias > this.#most)
      throw new PacketError(`topic alias ${alias}: at most ${this.#most} allowed`, reasons.aliasInvalid);
    const known = this.#topics.get(alias);
    if (topic !== "") {
      this.#characters += topic.length - (known?.length ?? 0);
      if (this.#characters > mostCharacters)
        throw new PacketError("topics of aliases take too much memory", reasons.quotaExceeded);
      this.#topics.set(alias, topic);
      return packet;
    }
    if (known === undefined)
      throw new PacketError(`topic alias ${alias} stands for nothing`, reasons.protocolError);
    return { ...packet, topic: known };
  }
}

/** Aliases that are given to one client at most: a client may take 65,535. */
const mostGiven = 32;
/** An alias takes three bytes itself. */
const shortest = 6;
const longest = 256;

/**
 * Numbers for the topics that a client is sent. The first topics get them and keep them: which topics a device subscribes to
 * changes rarely.
 */
export class OutboundAliases {
  readonly #most: number;
  readonly #numbers = new Map<string, number>();

  constructor(most: number) {
    this.#most = Math.min(most, mostGiven);
  }

  /** @returns the alias and the topic to be sent with it: none when the client knows the alias */
  find(
    topic: string,
  ): { readonly alias: number; readonly topic: string; readonly isNew: boolean } | undefined {
    const known = this.#numbers.get(topic);
    if (known !== undefined) return { alias: known, topic: "", isNew: false };
    if (this.#numbers.size >= this.#most || topic.length < shortest || topic.length > longest)
      return undefined;
    const alias = this.#numbers.size + 1;
    this.#numbers.set(topic, alias);
    return { alias, topic, isNew: true };
  }

  /** The newest alias was not sent. */
  forget(topic: string): void {
    this.#numbers.delete(topic);
  }
}
