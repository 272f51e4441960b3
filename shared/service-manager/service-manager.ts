import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { sendDatagram } from "./datagram.ts";
import type { HealthChecks } from "./health.ts";

/** What systemd gives a service of Type=notify, from its environment. */
export interface ManagerAddress {
  /** NOTIFY_SOCKET; undefined: nobody wants to know. */
  readonly notifySocket: string | undefined;
  /** WATCHDOG_USEC; undefined: nobody watches. */
  readonly watchdogMicroseconds: string | undefined;
  /** WATCHDOG_PID, the process that is watched. */
  readonly watchdogPid: string | undefined;
}

export interface ServiceManagerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly pid: number;
  readonly health: HealthChecks;
}

/** Longer than systemd waits for a start where nobody says otherwise (TimeoutStartSec of 90 s). */
const readyTries = 100;
const readyAgainMs = 1000;

/**
 * Tells systemd how the program is (sd_notify(3), sd_watchdog_enabled(3)): that it runs, that it stops, and while all its parts
 * work, that it lives. Sends nothing when it was not started by systemd.
 */
export class ServiceManager implements Disposable {
  readonly #address: ManagerAddress;
  readonly #deps: ServiceManagerDeps;
  #timer: Disposable | undefined;
  #readyTimer: Disposable | undefined;
  #sick = "";
  #failed = false;

  constructor(address: ManagerAddress, deps: ServiceManagerDeps) {
    this.#address = address;
    this.#deps = deps;
  }

  /** The program runs: from now on it is watched. */
  ready(): void {
    this.#sendReady(readyTries);
    const everyMs = this.#watchdogMs() / 3;
    if (everyMs > 0) this.#timer = this.#deps.clock.every(everyMs, () => this.#beat());
  }

  stopping(): void {
    this.#readyTimer?.[Symbol.dispose]();
    this.#send("STOPPING=1\nSTATUS=stopping");
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#readyTimer?.[Symbol.dispose]();
  }

  /** systemd ends a program of which it never hears that it runs. */
  #sendReady(tries: number): void {
    if (this.#send("READY=1\nSTATUS=running") || tries === 1) return;
    this.#readyTimer = this.#deps.clock.after(readyAgainMs, () => this.#sendReady(tries - 1));
  }

  /** That the event loop gets here is the first thing it says. */
  #beat(): void {
    const problems = this.#deps.health.problems();
    const text = problems.join("; ");
    if (text !== this.#sick && text !== "")
      this.#deps.log.error("a part of the program does not work, systemd will restart it", { problems });
    if (text === "") this.#send(this.#sick === "" ? "WATCHDOG=1" : "WATCHDOG=1\nSTATUS=running");
    else if (text !== this.#sick) this.#send(`STATUS=${text.replaceAll("\n", " ").slice(0, 500)}`);
    this.#sick = text;
  }

  #watchdogMs(): number {
    const { watchdogMicroseconds, watchdogPid } = this.#address;
    const ms = Number(watchdogMicroseconds) / 1000;
    const isWatched = watchdogPid === undefined || watchdogPid === String(this.#deps.pid);
    return Number.isFinite(ms) && isWatched ? ms : 0;
  }

  /** A full queue is no reason to stop; the next message may pass. @returns whether nothing is left to be sent */
  #send(text: string): boolean {
    const { notifySocket } = this.#address;
    if (notifySocket === undefined || notifySocket === "") return true;
    try {
      sendDatagram(notifySocket, text);
      this.#failed = false;
      return true;
    } catch (error) {
      if (!this.#failed) this.#deps.log.warn("cannot reach systemd", { error: describeError(error) });
      this.#failed = true;
      return false;
    }
  }
}
