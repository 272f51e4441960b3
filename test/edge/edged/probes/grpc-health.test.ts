import { expect, test } from "bun:test";
import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { grpcHealth } from "#internal/edge/edged/probes/grpc-health.ts";

interface Answering extends AsyncDisposable {
  readonly port: number;
  /** The bytes of each request. */
  readonly requests: Buffer[];
}

async function serve(
  answer: (stream: ServerHttp2Stream, path: string | undefined) => void,
): Promise<Answering> {
  const requests: Buffer[] = [];
  const sessions = new Set<{ destroy: () => void }>();
  const server = createServer();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      requests.push(Buffer.concat(chunks));
      answer(stream, headers[":path"]);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const dispose = async (): Promise<void> => {
    for (const session of sessions) session.destroy();
    server.close();
    await once(server, "close");
  };
  return { port: (server.address() as AddressInfo).port, requests, [Symbol.asyncDispose]: dispose };
}

/** A gRPC answer of one message. */
function answerWith(message: readonly number[], trailers: Record<string, string> = { "grpc-status": "0" }) {
  return (stream: ServerHttp2Stream): void => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
  };
}

const { signal } = new AbortController();
const ask = (port: number, service = ""): Promise<string | undefined> =>
  grpcHealth({ host: "127.0.0.1", port, service }, signal);

test("a gRPC probe passes when the server says that it serves", async () => {
  await using server = await serve(answerWith([0x08, 1]));
  expect(await ask(server.port)).toBeUndefined();
  expect(server.requests).toEqual([Buffer.from([0, 0, 0, 0, 0])]);
});

test("a gRPC probe asks for the service that it names", async () => {
  const paths: (string | undefined)[] = [];
  await using server = await serve((stream, path) => {
    paths.push(path);
    answerWith([0x08, 1])(stream);
  });
  expect(await ask(server.port, "shop")).toBeUndefined();
  expect(server.requests[0]?.subarray(5)).toEqual(Buffer.from("\n\u0004shop"));
  const long = "s".repeat(300);
  expect(await ask(server.port, long)).toBeUndefined();
  expect(server.requests[1]?.subarray(5)).toEqual(Buffer.from([0x0a, 0xac, 0x02, ...Buffer.from(long)]));
  expect(paths).toEqual(["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Check"]);
});

test.each([
  [[0x08, 2], "NOT_SERVING"],
  [[], "UNKNOWN"],
  [[0x08, 3], "SERVICE_UNKNOWN"],
])("a gRPC probe fails when the server answers %j", async (message, status) => {
  await using server = await serve(answerWith(message));
  expect(await ask(server.port)).toBe(`service unhealthy (responded with "${status}")`);
});

test("a gRPC probe tells the error of the server", async () => {
  await using unknown = await serve(
    answerWith([], { "grpc-status": "5", "grpc-message": "no such service" }),
  );
  expect(await ask(unknown.port, "x")).toBe('service "x" answered with gRPC code 5: no such service');
  await using without = await serve((stream) => {
    stream.respond({ ":status": 200, "grpc-status": "12", "grpc-message": "unknown" }, { endStream: true });
  });
  expect(await ask(without.port)).toBe(
    "this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown",
  );
});

test("a gRPC probe fails when nothing listens, and when the server speaks something else", async () => {
  const closed = await serve(answerWith([]));
  await closed[Symbol.asyncDispose]();
  await expect(ask(closed.port)).rejects.toThrow();
  using plain = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
  await expect(ask(plain.port ?? 0)).rejects.toThrow();
});

test("a gRPC probe ends with its deadline when the server does not answer", async () => {
  await using server = await serve(() => undefined);
  const deadline = new AbortController();
  const asked = grpcHealth({ host: "127.0.0.1", port: server.port, service: "" }, deadline.signal);
  while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  deadline.abort();
  await expect(asked).rejects.toThrow("closed the connection");
});
