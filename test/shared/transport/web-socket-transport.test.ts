import { expect, test } from "bun:test";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { WebSocketTransport, type FrameTransport } from "#shared/transport";

interface Pair extends AsyncDisposable {
  readonly server: FrameTransport;
  readonly client: FrameTransport;
}

async function connect(): Promise<Pair> {
  const http = createServer();
  const sockets = new WebSocketServer({ server: http });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const accepted = Promise.withResolvers<FrameTransport>();
  sockets.on("connection", (socket) => accepted.resolve(new WebSocketTransport(socket)));
  const socket = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
  const client = new WebSocketTransport(socket);
  await once(socket, "open");
  const server = await accepted.promise;
  return {
    server,
    client,
    [Symbol.asyncDispose]: async () => {
      client.terminate();
      server.terminate();
      await Promise.all([client.closed, server.closed]);
      sockets.close();
      http.close();
    },
  };
}

interface Received {
  readonly frames: (string | number[])[];
  readonly until: (count: number) => Promise<void>;
}

function receive(transport: FrameTransport): Received {
  const frames: (string | number[])[] = [];
  let wake = (): void => undefined;
  const note = (frame: string | number[]): void => {
    frames.push(frame);
    wake();
  };
  transport.listen({
    onText: (frame) => note(frame),
    onBinary: (frame) => note([...frame]),
    onPong: (mark) => note(`pong ${mark}`),
    onPing: () => note("ping"),
    onError: (error) => note(`error ${error.message}`),
  });
  const until = async (count: number): Promise<void> => {
    while (frames.length < count) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { frames, until };
}

for (const sender of ["client", "server"] as const) {
  test(`text and binary frames of the ${sender} arrive in order, each as what it is`, async () => {
    await using pair = await connect();
    const { frames, until } = receive(sender === "client" ? pair.server : pair.client);
    const source = pair[sender];
    source.send("täglich");
    source.send(new Uint8Array([0, 255, 123]));
    const written = new Promise<void>((resolve) => source.send("last", resolve));
    await until(3);
    await written;
    expect(frames).toEqual(["täglich", [0, 255, 123], "last"]);
  });

  test(`a ping of the ${sender} returns its mark`, async () => {
    await using pair = await connect();
    const asking = receive(pair[sender]);
    const asked = receive(sender === "client" ? pair.server : pair.client);
    pair[sender].ping("m1");
    await Promise.all([asking.until(1), asked.until(1)]);
    expect([asking.frames, asked.frames]).toEqual([["pong m1"], ["ping"]]);
  });
}

test("closed resolves on both sides with the code and the reason", async () => {
  await using pair = await connect();
  pair.server.close(4409, "duplicate");
  expect(await pair.client.closed).toEqual({ code: 4409, reason: "duplicate" });
  expect((await pair.server.closed).code).toBe(4409);
  expect([pair.client.isOpen, pair.server.isOpen]).toEqual([false, false]);
});

test("a transport that was cut closes without a code", async () => {
  await using pair = await connect();
  pair.client.terminate();
  expect((await pair.server.closed).code).toBe(1006);
});

test("no frame arrives while reading is paused", async () => {
  await using pair = await connect();
  const { frames, until } = receive(pair.server);
  pair.server.pause();
  await new Promise<void>((resolve) => pair.client.send("held", resolve));
  pair.client.send("held too");
  expect(frames).toEqual([]);
  pair.server.resume();
  await until(2);
  expect(frames).toEqual(["held", "held too"]);
});
