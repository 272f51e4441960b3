import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A TCP proxy that can cut its connections, refuse new ones, or hold all bytes back. */
export interface CutProxy extends AsyncDisposable {
  readonly port: number;
  /** Ends all connections at once; new ones are refused while `refuse` holds. */
  cut(options?: { readonly refuse?: boolean }): void;
  /** Connections stay open and nothing passes, in both directions, neither bytes nor an end; all passes later. */
  stall(): void;
  /** Lets bytes and connections pass again. */
  restore(): void;
  readonly accepted: number;
}

/** @param bytesPerSecond of each direction of a connection; any rate unless given */
export async function startCutProxy(target: number, bytesPerSecond?: number): Promise<CutProxy> {
  const sockets = new Set<Socket>();
  let refusing = false;
  let stalled = false;
  let accepted = 0;
  const server = createServer((near) => {
    if (refusing) {
      near.destroy();
      return;
    }
    accepted += 1;
    const far = connect(target, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk: Buffer) => {
        void to.write(chunk);
        if (bytesPerSecond === undefined) return;
        from.pause();
        const resume = (): void => void (stalled || from.resume());
        setTimeout(resume, (chunk.length / bytesPerSecond) * 1000);
      });
      if (stalled) from.pause();
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (options?: { readonly refuse?: boolean }): void => {
    refusing = options?.refuse ?? false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    get accepted() {
      return accepted;
    },
    cut,
    stall: () => {
      stalled = true;
      for (const socket of sockets) socket.pause();
    },
    restore: () => {
      stalled = false;
      refusing = false;
      for (const socket of sockets) socket.resume();
    },
    [Symbol.asyncDispose]: async () => {
      cut({ refuse: true });
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
