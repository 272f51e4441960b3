import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import { ServerTCP } from "modbus-serial";

export interface Simulator extends AsyncDisposable {
  readonly port: number;
  readonly holding: Map<number, number>;
  readonly input: Map<number, number>;
  readonly coils: Map<number, boolean>;
  /** `TABLE ADDRESS COUNT` of each request. */
  readonly requests: string[];
  /** Addresses that the device refuses. */
  readonly refused: Set<number>;
}

/** A Modbus TCP device of the library's server, unit 1, on a port of loopback. */
export async function startSimulator(port = 0): Promise<Simulator> {
  const holding = new Map<number, number>();
  const input = new Map<number, number>();
  const coils = new Map<number, boolean>();
  const requests: string[] = [];
  const refused = new Set<number>();
  const many =
    (table: string, values: Map<number, number>) =>
    (address: number, count: number): number[] => {
      requests.push(`${table} ${address} ${count}`);
      const all = Array.from({ length: count }, (_, index) => address + index);
      if (all.some((one) => refused.has(one))) throw illegalAddress();
      return all.map((one) => values.get(one) ?? 0);
    };
  const one =
    (table: string, values: Map<number, number>) =>
    (address: number): number =>
      many(table, values)(address, 1)[0] ?? 0;
  const server = new ServerTCP(
    {
      getMultipleHoldingRegisters: many("holding", holding),
      getMultipleInputRegisters: many("input", input),
      getHoldingRegister: one("holding", holding),
      getInputRegister: one("input", input),
      getCoil: (address: number) => coils.get(address) ?? false,
      getDiscreteInput: (address: number) => coils.get(address) ?? false,
      setRegister: (address: number, value: number) => {
        if (refused.has(address)) throw illegalAddress();
        holding.set(address, value);
      },
      setCoil: (address: number, value: boolean) => void coils.set(address, value),
    },
    { host: "127.0.0.1", port, unitID: 1 },
  );
  await once(server, "initialized");
  // The library does not say which port it got.
  const inner = (server as unknown as { readonly _server: Server })._server;
  const sockets = new Set<Socket>();
  let isClosing = false;
  inner.on("connection", (socket: Socket) => {
    sockets.add(socket);
    if (isClosing) socket.destroy();
  });
  return {
    port: (inner.address() as AddressInfo).port,
    holding,
    input,
    coils,
    requests,
    refused,
    [Symbol.asyncDispose]: () => {
      isClosing = true;
      // The library waits for connections that it has not seen yet.
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function illegalAddress(): Error {
  return Object.assign(new Error("illegal address"), { modbusErrorCode: 2 });
}
