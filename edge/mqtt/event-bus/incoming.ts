import type { IPublishPacket, MqttClient } from "mqtt";
import { describeError } from "#shared/errors";
import type { Seldom } from "#shared/log";
import type { MqttMessage } from "#shared/topics";

export interface ExternalIncomingParts {
  readonly client: MqttClient;
  /** Resolves when the message is safe. @returns undefined when nobody of ours listens */
  readonly receive: (message: MqttMessage) => Promise<void> | undefined;
  /** Ends the connection. */
  readonly cut: () => void;
  readonly log: Pick<Seldom, "warn">;
}

interface Ack {
  readonly cmd: string;
  readonly messageId?: number;
}

/** What of the client is touched beside its interface. */
interface InnerClient {
  _sendPacket(packet: Ack, done?: (error?: Error) => void, ...more: unknown[]): void;
}

/** Messages that are not safe yet, at a time; more are not read. */
const mostUnsafe = 256;

/**
 * Messages of the external broker, acknowledged when they are safe and in order. The client would read the next one
 * only then: each would wait for a commit of its own. Here its acknowledgement is held back and sent later. What could
 * not be made safe is not acknowledged, and neither is what follows: the broker has it still and sends it on the next
 * connection.
 */
export class ExternalIncoming {
  readonly #parts: ExternalIncomingParts;
  readonly #send: InnerClient["_sendPacket"];
  /** Ids whose acknowledgement waits, of this connection. */
  #held = new Set<number>();
  #tail = Promise.resolve();
  #resume: (() => void) | undefined;

  constructor(parts: ExternalIncomingParts) {
    this.#parts = parts;
    const inner = parts.client as unknown as InnerClient;
    this.#send = inner._sendPacket.bind(inner);
  }

  /** Takes over what the client does with messages and their acknowledgements. */
  listen(): void {
    const { client } = this.#parts;
    (client as unknown as InnerClient)._sendPacket = (packet, done, ...more) => {
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
    // A request that was retained was made before: only a value of a plain device is still one.
    const isOld = retain && isRequest(topic);
    const message = { topic, payload: typeof payload === "string" ? Buffer.from(payload) : payload };
    const pending = isOld ? undefined : receive(message);
    if (qos === 0 || messageId === undefined) {
      pending?.catch((error: unknown) => this.#fail(topic, error));
      return done();
    }
    if (!pending && this.#held.size === 0) return done();
    this.#holdBack({ topic, messageId }, pending);
    if (this.#held.size < mostUnsafe) done();
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
    this.#parts.log.warn("cannot take a message of the external broker", {
      topic,
      error: describeError(error),
    });
  }
}

function isRequest(topic: string): boolean {
  return /^(\$|SYS\/|[^/]*\/user\/)/.test(topic);
}
