import type net from "node:net";
import { ConnectionBudget, openFilesLimit, type Place } from "#shared/connections";
import type { Clock } from "#shared/clock";

/** File descriptors for the database, the container engine, the cloud and edgecore's own servers. */
const otherFiles = 64;

/**
 * Bounds the connections of all listeners together, and by the open-files limit of the process. When all places are taken, a
 * connection that is not accepted as an MQTT client within three seconds is closed in favor of a new one, so that idle
 * sockets cannot lock clients out.
 */
export class Places {
  readonly #budget: ConnectionBudget;
  /** Places of open sockets by their addresses: TLS wraps a socket into another object. */
  readonly #held = new Map<string, Place>();

  constructor(count: number, clock: Pick<Clock, "monotonicMs">) {
    const files = openFilesLimit();
    const most = Math.max(1, Math.min(count, files - Math.max(otherFiles, Math.ceil(files / 8))));
    const hasFiles = (): boolean => this.#budget.sockets < most;
    this.#budget = new ConnectionBudget({ hasFiles, unproven: most, perAddress: most, clock });
  }

  /** @returns whether there was a place; it is released when the socket closes */
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

  /** @returns what to call when the client on this socket is accepted: from then on it keeps its place */
  keeperOf(socket: net.Socket): () => void {
    const place = this.#held.get(keyOf(socket));
    return () => void place?.prove("mqtt", Infinity);
  }
}

function keyOf({ localPort, remoteAddress, remotePort }: net.Socket): string {
  return `${localPort} ${remoteAddress} ${remotePort}`;
}
