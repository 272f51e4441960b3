import type net from "node:net";
import { ConnectionBudget, openFilesLimit, type Place } from "#shared/connections";
import type { Clock } from "#shared/clock";

/** For the database, the engine, the cloud and the node's own servers. */
const otherFiles = 64;

/**
 * Who may be connected at the same time, however they came. When all places are taken, a connection that has not been let in
 * as an MQTT client within three seconds gives way to a newcomer, so that sockets that say nothing lock nobody out; and there
 * are never more than this process may open files.
 */
export class Places {
  readonly #budget: ConnectionBudget;
  /** of the sockets that are open, by the address of their other end: TLS puts another object before them */
  readonly #held = new Map<string, Place>();

  constructor(count: number, clock: Pick<Clock, "monotonicMs">) {
    const files = openFilesLimit();
    const most = Math.max(1, Math.min(count, files - Math.max(otherFiles, Math.ceil(files / 8))));
    const hasFiles = (): boolean => this.#budget.sockets < most;
    this.#budget = new ConnectionBudget({ hasFiles, unproven: most, perAddress: most, clock });
  }

  /** @returns whether there is one; it is given back when the socket closes */
  take(socket: net.Socket): boolean {
    const key = keyOf(socket);
    const place = this.#budget.admit(socket.remoteAddress, () => socket.destroy());
    if (!place) return false;
    this.#held.set(key, place);
    socket.once("close", () => {
      place.leave();
      if (this.#held.get(key) === place) this.#held.delete(key);
    });
    return true;
  }

  /** What to call when the client on this socket has been let in: its place is its own from then on. */
  keeperOf(socket: net.Socket): () => void {
    const place = this.#held.get(keyOf(socket));
    return () => void place?.prove("mqtt", Infinity);
  }
}

function keyOf({ localPort, remoteAddress, remotePort }: net.Socket): string {
  return `${localPort} ${remoteAddress} ${remotePort}`;
}
