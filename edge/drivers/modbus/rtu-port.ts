import { EventEmitter } from "node:events";
import type { Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import { SerialLine, type LineSettings } from "#edge/drivers/serial";

/** Unit, function, code and checksum: the answer of a device that refuses. */
const exceptionBytes = 5;
const longestFrame = 256;
type Done = (error?: Error | null) => void;

/**
 * A port of modbus-serial on a serial line: it collects the bytes of an answer until the frame is complete. Bytes before it, such
 * as an answer that came too late, are skipped.
 */
export class RtuPort extends EventEmitter {
  readonly #settings: LineSettings;
  readonly #timeoutMs: number;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #line: SerialLine | undefined;
  #exchange: Promise<void> = Promise.resolve();
  /** Counts requests: answers to dropped requests are not awaited. */
  #turn = 0;

  /** @param timeoutMs how long an answer is waited for */
  constructor(settings: LineSettings, timeoutMs: number, clock: Pick<Clock, "monotonicMs">) {
    super();
    this.#settings = settings;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  get isOpen(): boolean {
    return this.#line?.isOpen ?? false;
  }

  open(done: Done): void {
    void this.#open(done);
  }

  close(done: Done): void {
    void this.#close(done);
  }

  /** Called by modbus-serial with a whole request, when the one before is answered or dropped. */
  write(request: Buffer): void {
    const frame = Buffer.from(request);
    this.#turn += 1;
    const turn = this.#turn;
    this.#exchange = this.#exchange.then(() => this.#ask(frame, turn));
  }

  async #open(done: Done): Promise<void> {
    let problem: Error | null = null;
    try {
      this.#line = await SerialLine.open(this.#settings);
    } catch (error) {
      problem = asError(error);
    }
    done(problem);
  }

  async #close(done: Done): Promise<void> {
    const line = this.#line;
    this.#line = undefined;
    this.#turn += 1;
    await this.#exchange;
    await line?.[Symbol.asyncDispose]();
    done(null);
  }

  /** Sends a request and reads until its answer is complete, the time is up or the line is closed. */
  async #ask(request: Buffer, turn: number): Promise<void> {
    const expected = expectedAnswer(request);
    const endMs = this.#clock.monotonicMs() + this.#timeoutMs;
    let received: Buffer = Buffer.alloc(0);
    try {
      await this.#line?.write(request);
      while (this.#line && turn === this.#turn && this.#clock.monotonicMs() < endMs) {
        received = Buffer.concat([received, await this.#line.read()]).subarray(-2 * longestFrame);
        const frame = findFrame(received, expected);
        if (!frame) continue;
        this.emit("data", frame);
        return;
      }
    } catch {
      // Nothing is answered, and the link is closed and opened again.
      const line = this.#line;
      this.#line = undefined;
      await line?.[Symbol.asyncDispose]();
    }
  }
}

interface Expected {
  readonly unit: number;
  readonly code: number;
  readonly bytes: number;
}

/** Length of the answer to a request (Modbus application protocol 1.1b3, section 6). */
function expectedAnswer(request: Buffer): Expected {
  const [unit = 0, code = 0] = request;
  const count = request.readUInt16BE(4);
  if (code === 1 || code === 2) return { unit, code, bytes: 5 + Math.ceil(count / 8) };
  return { unit, code, bytes: code === 3 || code === 4 ? 5 + 2 * count : 8 };
}

function findFrame(received: Buffer, { unit, code, bytes }: Expected): Buffer | undefined {
  for (let start = 0; start + exceptionBytes <= received.length; start += 1) {
    if (received[start] !== unit) continue;
    const answered = received[start + 1];
    if (answered === (code | 0x80)) return received.subarray(start, start + exceptionBytes);
    if (answered === code && start + bytes <= received.length) return received.subarray(start, start + bytes);
  }
  return undefined;
}
