import type { Clock } from "#shared/clock";
import { AppError, describeError } from "#shared/errors";
import type { Device, Status } from "#shared/kube";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { ApiAnswer, DesiredRequest, DeviceName } from "#shared/topics";
import type { LocalValues, LocalValuesOfDevice } from "./local-values.ts";

export interface LocalValueSyncParts {
  readonly local: Pick<LocalValues, "places" | "sending" | "toSend">;
  readonly ask: (
    request: DesiredRequest,
    options: { readonly signal: AbortSignal },
  ) => Promise<ApiAnswer<Device>>;
  /** The cloud has decided: what it has now is in the Device. */
  readonly settle: (place: DeviceName, sent: LocalValuesOfDevice, device: Device) => Promise<void>;
  /** The cloud will never take them. */
  readonly drop: (place: DeviceName, sent: LocalValuesOfDevice, why: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

const timeoutMs = 20_000;
/** While the API does not take them although there is a link. */
const retries = { firstMs: 2000, capMs: 300_000 };
/** Codes below 500 after which the same request may succeed: timeout, conflict, too many requests. */
const temporary: ReadonlySet<number | undefined> = new Set([408, 409, 429]);
const notImplemented = 501;

/** Sends the desired values that were set on this node to the cloud, one Device after another, until it has decided. */
export class LocalValueSync implements AsyncDisposable {
  readonly #parts: LocalValueSyncParts;
  readonly #stop = new AbortController();
  #isLinked = false;
  #isWanted = false;
  #running: Promise<void> | undefined;
  #delays: Generator<number, never> | undefined;
  #timer: Disposable | undefined;

  constructor(parts: LocalValueSyncParts) {
    this.#parts = parts;
  }

  linkChanged(connected: boolean): void {
    this.#isLinked = connected;
    this.#delays = undefined;
    this.wake();
  }

  /** There are values to send. */
  wake(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#isWanted = true;
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#isLinked = false;
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  async #run(): Promise<void> {
    let isLeft = false;
    while (this.#isWanted && this.#isLinked) {
      this.#isWanted = false;
      isLeft = false;
      for (const place of this.#parts.local.places())
        if (this.#isLinked && !(await this.#attempt(place))) isLeft = true;
    }
    if (isLeft) this.#retryLater();
    else this.#delays = undefined;
  }

  #retryLater(): void {
    if (!this.#isLinked) return;
    const { clock } = this.#parts;
    this.#delays ??= backoff({ ...retries, random: () => clock.random() });
    this.#timer = clock.after(this.#delays.next().value, () => this.wake());
  }

  /** @returns false when it is to be tried again */
  async #attempt(place: DeviceName): Promise<boolean> {
    const { log } = this.#parts;
    try {
      return await this.#send(place);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      log.debug("cannot send desired values that were set on this node", {
        device: place,
        error: describeError(error),
      });
      return false;
    }
  }

  async #send(place: DeviceName): Promise<boolean> {
    const { local, ask, settle, drop, log } = this.#parts;
    const sent = local.sending(place);
    if (!sent) return true;
    const desired = { uid: sent.uid, values: local.toSend(sent) };
    const { signal } = this.#stop;
    const { object, failure } = await ask({ ...place, desired, timeoutMs }, { signal });
    if (object) {
      await settle(place, sent, object);
      return true;
    }
    if (!failure || !isFinal(failure)) {
      log.warn("the cloud does not take desired values now, retrying", { device: place, failure });
      return false;
    }
    const why = failure.message ?? failure.reason ?? "the cloud gives no reason";
    log.warn("the cloud refuses desired values that were set on this node", { device: place, why });
    await drop(place, sent, why);
    return true;
  }
}

function isFinal({ code }: Status): boolean {
  return code === notImplemented || (code !== undefined && code >= 400 && code < 500 && !temporary.has(code));
}
