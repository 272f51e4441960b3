import type { IPublishPacket, MqttClient } from "mqtt";
import { describeError } from "#shared/errors";
import type { RateLimitedLog } from "#shared/log";
import type { MqttMessage } from "#shared/topics";

export interface ExternalIncomingParts {
  readonly client: MqttClient;
  /** @returns when the message is stored, undefined when it is for no module */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
  /** Closes the connection. */
  readonly cut: () => void;
  readonly log: Pick<RateLimitedLog, "warn">;
}

interface ClientPacket {
  readonly cmd: string;
  readonly messageId?: number;
}

/** A private method of the client, whose version is pinned. */
interface PacketSender {
  _sendPacket(packet: ClientPacket, done?: (error?: Error) => void, ...more: unknown[]): void;
}

/** Messages that are not stored yet; no more are read then. They share commits, so more would not be faster. */
const mostUnstored = 256;

/**
 * Receives messages from the external broker and acknowledges them in order when they are stored. The client would read the
 * next message only after that, and each would wait for its own commit: so its PUBACK is held back and sent later. What
 * cannot be stored is not acknowledged, nor is what follows: the broker sends it again on the next connection.
 */
export class ExternalIncoming {
  readonly #parts: ExternalIncomingParts;
  readonly #sender: PacketSender;
  readonly #send: PacketSender["_sendPacket"];
  /** Message ids of this connection whose PUBACK is held back. */
  #held = new Set<number>();
  #tail = Promise.resolve();
  #resume: (() => void) | undefined;

  constructor(parts: ExternalIncomingParts) {
    this.#parts = parts;
    // A private method of MQTT.js (a pinned version), through which it sends each PUBACK.
    this.#sender = parts.client as unknown as PacketSender;
    this.#send = this.#sender._sendPacket.bind(this.#sender);
  }

  /** Takes over the client's handling of messages and of their acknowledgements. */
  listen(): void {
    const { client } = this.#parts;
    this.#sender._sendPacket = (packet, done, ...more) => {
      const isHeld = packet.cmd === "puback" && this.#held.has(packet.messageId ?? 0);
      if (isHeld) done?.();
      else this.#send(packet, done, ...more);
    };
    client.handleMessage = (packet, done) => this.#take(packet, done);
    client.on("close", () => {
      this.#held = new Set();
      this.#tail = Promise.resolve();
      this.#resume = undefined;
    });
  }

  #take({ topic, payload, qos, messageId, retain }: IPublishPacket, done: () => void): void {
    const { receive } = this.#parts;
    // A retained request is an old one; a retained value of a plain device is still its value.
    const isOld = retain && isRequest(topic);
    const message = { topic, payload: typeof payload === "string" ? Buffer.from(payload) : payload, qos };
    const pending = isOld ? undefined : receive(message);
    if (qos === 0 || messageId === undefined) {
      pending?.catch((error: unknown) => this.#fail(topic, error));
      return done();
    }
    if (!pending && this.#held.size === 0) return done();
    this.#holdBack({ topic, messageId }, pending);
    if (this.#held.size < mostUnstored) done();
    else this.#resume = done;
  }

  #holdBack(
    { topic, messageId }: { readonly topic: string; readonly messageId: number },
    pending: Promise<void> | undefined,
  ): void {
    const held = this.#held;
    const { stream } = this.#parts.client;
    held.add(messageId);
    const settled = Promise.all([this.#tail, pending]).then(() => {
      if (held !== this.#held) return;
      held.delete(messageId);
      this.#send({ cmd: "puback", messageId });
      this.#readOn();
    });
    this.#tail = settled;
    settled.catch((error: unknown) => {
      if (held !== this.#held || stream.destroyed) return;
      this.#fail(topic, error);
      this.#parts.cut();
      this.#readOn();
    });
  }

  #readOn(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  #fail(topic: string, error: unknown): void {
    this.#parts.log.warn("cannot store a message of the external MQTT broker", {
      topic,
      error: describeError(error),
    });
  }
}

function isRequest(topic: string): boolean {
  return /^(\$|SYS\/|[^/]*\/user\/)/.test(topic);
}
