import { expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { InFlight } from "#cloud/kube-api/flow-control";
import { systemClock } from "#shared/clock";
import {
  adminToken,
  ownToken,
  startTestServer,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const maps = "/api/v1/namespaces/default/configmaps";
const configMap = (name: string): object => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } });

interface Attacker extends Disposable {
  /** Status line and headers of the answer. */
  readonly answer: Promise<string>;
  readonly closed: Promise<void>;
  readonly socket: TLSSocket;
}

/** Announces a length, and sends one byte of it. */
async function beginPost(server: TestServer, bytes: number): Promise<Attacker> {
  const socket = connect({ port: server.api.port, host: "127.0.0.1", ca: server.caPem });
  const closed = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<string>();
  socket.on("error", () => undefined);
  socket.on("close", () => closed.resolve());
  socket.once("data", (data: Buffer) => answer.resolve(data.toString()));
  await once(socket, "secureConnect");
  socket.write(
    `POST ${maps} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${adminToken}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${bytes}\r\n\r\n{`,
  );
  return { answer: answer.promise, closed: closed.promise, socket, [Symbol.dispose]: () => socket.destroy() };
}

test("requests past those in flight get 429 with Retry-After, while reads and cloudcore's own requests get through", async () => {
  using dir = tempDir("limits");
  await using server = await startTestServer(dir.path);
  using attackers = new DisposableStack();
  for (let count = 0; count < 200; count += 1) attackers.use(await beginPost(server, 1000));
  const refused = await server.call("POST", maps, configMap("late"));
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
  expect(refused.body).toMatchObject({
    reason: "TooManyRequests",
    message: "Too many requests, please try again later.",
  });
  expect((await server.call("GET", maps)).status).toBe(200);
  const own = { authorization: `Bearer ${ownToken}` };
  expect((await server.call("POST", maps, configMap("own"), own)).status).toBe(201);
  attackers.dispose();
  let status = 429;
  while (status === 429) ({ status } = await server.call("POST", maps, configMap("later")));
  expect(status).toBe(201);
}, 20_000);

test("one user has half of the requests in flight", () => {
  const inFlight = new InFlight({ reading: 4, mutating: 4 });
  const enter = (user: string): boolean =>
    inFlight.enter({ user, reserved: false, mutating: true, bodyBytes: 0 }) !== undefined;
  expect(["a", "a", "a", "b", "b", "c"].map(enter)).toEqual([true, true, false, true, true, false]);
});

test("large bodies past 64 MiB in all get 429 at once", async () => {
  using dir = tempDir("limits");
  await using server = await startTestServer(dir.path);
  using attackers = new DisposableStack();
  const size = 3 * 1024 * 1024;
  for (let count = 0; count < 21; count += 1) attackers.use(await beginPost(server, size));
  using last = await beginPost(server, size);
  expect(await last.answer).toStartWith("HTTP/1.1 429 ");
  await last.closed;
  expect((await server.call("POST", maps, configMap("small"))).status).toBe(201);
}, 20_000);

test("a body that does not arrive in time gets 504 and its connection is closed", async () => {
  using dir = tempDir("limits");
  const clock = { ...systemClock, after: (ms: number, run: () => void) => systemClock.after(ms / 100, run) };
  await using server = await startTestServer(dir.path, { clock });
  using slow = await beginPost(server, 1000);
  const dripping = setInterval(() => slow.socket.write(" "), 20);
  try {
    expect(await slow.answer).toStartWith("HTTP/1.1 504 ");
    await slow.closed;
  } finally {
    clearInterval(dripping);
  }
});

test("a body whose announced length is too large gets 413 before it arrives, and its connection is closed", async () => {
  using dir = tempDir("limits");
  await using server = await startTestServer(dir.path);
  using large = await beginPost(server, 4 * 1024 * 1024);
  expect(await large.answer).toStartWith("HTTP/1.1 413 ");
  await large.closed;
});

test("a URL or header that is too long gets 431", async () => {
  using dir = tempDir("limits");
  await using server = await startTestServer(dir.path);
  const long = "x".repeat(70_000);
  expect((await server.call("GET", `${maps}?labelSelector=${long}`)).status).toBe(431);
  expect((await server.call("GET", maps, undefined, { "x-long": long })).status).toBe(431);
});
