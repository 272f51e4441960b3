import { closeSync } from "node:fs";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Clock } from "#shared/clock";
import { AppError, describeError } from "#shared/errors";
import type { PodConnection } from "#edge/runtime";
import { SocketCalls } from "./libc.ts";

/** Where the servers of a pod are. */
export interface PodPlace {
  /** Path of the pod's network namespace, when that is on this machine. */
  readonly namespace: string | undefined;
  /** An address of the pod, for where the namespace cannot be entered. */
  readonly address: string | undefined;
  readonly port: number;
}

export interface ConnectDeps {
  readonly clock: Pick<Clock, "sleep" | "after" | "monotonicMs">;
  readonly signal: AbortSignal;
}

/** A server on the same machine accepts at once, unless its queue is full. */
const connectMs = 10_000;
const pollMs = 5;
/** The loopback addresses as `sockaddr_in` and `sockaddr_in6`, by family: kubelet tries them in this order. */
const loopbacks = [
  { family: 2, bytes: 16, address: [127, 0, 0, 1], offset: 4 },
  { family: 10, bytes: 28, address: [1], offset: 23 },
] as const;

/** Connects to servers in pods. */
export class PodConnector {
  /** Opened at the first use; undefined on a machine whose C library is not known here. */
  #calls: { readonly found: SocketCalls | undefined } | undefined;

  /**
   * Connects to a port of a pod: on the loopback inside its network namespace, or, where that cannot be entered, at its
   * address.
   * @throws AppError "connect-failed"
   */
  async connect({ namespace, address, port }: PodPlace, deps: ConnectDeps): Promise<PodConnection> {
    const inside = namespace === undefined ? undefined : await this.#connectInside(namespace, port, deps);
    if (inside === "refused") throw refused(port);
    if (inside) return connectionOf(inside);
    if (address === undefined) throw failed(port, "it has no network");
    return connectionOf(await dial(address, port, deps));
  }

  /** @returns undefined when the namespace cannot be entered */
  async #connectInside(
    path: string,
    port: number,
    deps: ConnectDeps,
  ): Promise<Socket | "refused" | undefined> {
    const { found: calls } = (this.#calls ??= { found: openCalls() });
    let wasInside = false;
    for (const loopback of loopbacks) {
      const socket = calls?.socketIn(path, loopback.family);
      if (!calls || socket === undefined) continue;
      wasInside = true;
      calls.connect(socket, sockaddr(loopback, port));
      if (await isConnected(calls, socket, deps)) return wrap(socket);
    }
    return wasInside ? "refused" : undefined;
  }
}

function openCalls(): SocketCalls | undefined {
  try {
    return new SocketCalls();
  } catch {
    return undefined;
  }
}

function sockaddr({ family, bytes, address, offset }: (typeof loopbacks)[number], port: number): Uint8Array {
  const built = new Uint8Array(bytes);
  const view = new DataView(built.buffer);
  view.setUint16(0, family, true);
  view.setUint16(2, port);
  built.set(address, offset);
  return built;
}

/** Closes the socket unless it is. */
async function isConnected(
  calls: SocketCalls,
  socket: number,
  { clock, signal }: ConnectDeps,
): Promise<boolean> {
  const lastMs = clock.monotonicMs() + connectMs;
  let state = calls.connectionOf(socket);
  try {
    while (state === "connecting" && clock.monotonicMs() < lastMs) {
      await clock.sleep(pollMs, { signal });
      state = calls.connectionOf(socket);
    }
    return state === "connected";
  } finally {
    if (state !== "connected") closeSync(socket);
  }
}

/** From now on the descriptor belongs to the socket. */
function wrap(fd: number): Socket {
  // Bun takes a connected socket here; the types know it for `new Socket` alone, with which Bun does nothing.
  return connect({ fd, allowHalfOpen: true } as unknown as NetConnectOpts);
}

async function dial(host: string, port: number, { clock, signal }: ConnectDeps): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  using _limit = clock.after(connectMs, () => reject(failed(port, "the pod does not accept connections")));
  socket.once("connect", resolve);
  socket.once("error", (error) =>
    reject(
      "code" in error && error.code === "ECONNREFUSED" ? refused(port) : failed(port, describeError(error)),
    ),
  );
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function connectionOf(socket: Socket): PodConnection {
  // Readers and writers get the error from the streams.
  socket.on("error", () => undefined);
  // The types of Node and of the platform differ in their iterators alone.
  const { readable, writable } = Duplex.toWeb(socket) as unknown as Pick<
    PodConnection,
    "readable" | "writable"
  >;
  return { readable, writable, [Symbol.dispose]: () => void socket.destroy() };
}

function refused(port: number): AppError {
  return failed(port, `connection refused: nothing listens there`);
}

function failed(port: number, why: string): AppError {
  return new AppError("connect-failed", `Cannot connect to port ${port} of the pod: ${why}`);
}
