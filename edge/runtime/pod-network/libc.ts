import { ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import { BugError } from "#shared/errors";
import { openLibc, type Libc } from "#shared/libc";

/** Of Linux, the same on all machines that edgecore is built for. */
const linux = {
  cloneNewNet: 0x4000_0000,
  streamSocket: 1,
  nonBlocking: 0o4000,
  closeOnExec: 0o2_000_000,
  pollOut: 4,
  pollFailed: 8 | 16,
} as const;

const functions = {
  setns: { args: ["i32", "i32"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
} as const;

/** The system calls that Bun has no function for. */
export class SocketCalls {
  readonly #libc: Libc<typeof functions>["symbols"];

  constructor() {
    this.#libc = openLibc(functions).symbols;
  }

  /**
   * Opens a socket in another network namespace, where it stays. Between entering and leaving it nothing else runs: this
   * thread makes no socket of another in there.
   * @returns its file descriptor; undefined when this process may not enter the namespace, or has no such family there
   */
  socketIn(namespacePath: string, family: number): number | undefined {
    const own = openSync("/proc/thread-self/ns/net", "r");
    const other = tryOpen(namespacePath);
    try {
      if (other === undefined || this.#libc.setns(other, linux.cloneNewNet) !== 0) return undefined;
      const type = linux.streamSocket | linux.nonBlocking | linux.closeOnExec;
      const socket = this.#libc.socket(family, type, 0);
      if (this.#libc.setns(own, linux.cloneNewNet) !== 0)
        throw new BugError("cannot return to the network of this machine");
      return socket < 0 ? undefined : socket;
    } finally {
      closeSync(own);
      if (other !== undefined) closeSync(other);
    }
  }

  /** Begins to connect a socket; `connectionOf` says what becomes of it. */
  connect(socket: number, address: Uint8Array): void {
    this.#libc.connect(socket, ptr(address), address.length);
  }

  connectionOf(socket: number): "connected" | "connecting" | "failed" {
    const asked = new Uint8Array(8);
    const view = new DataView(asked.buffer);
    view.setInt32(0, socket, true);
    view.setInt16(4, linux.pollOut, true);
    this.#libc.poll(ptr(asked), 1, 0);
    const found = view.getInt16(6, true);
    if ((found & linux.pollFailed) !== 0) return "failed";
    return (found & linux.pollOut) === 0 ? "connecting" : "connected";
  }
}

function tryOpen(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch {
    return undefined;
  }
}
