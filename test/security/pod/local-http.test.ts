import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { chmodSync, existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Hono } from "hono";
import { WebSocket } from "ws";
import { serveLocally, type LocalServer } from "#shared/local-http";
import { systemClock } from "#shared/clock";
import { openBroker, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { startHarness } from "#internal/test/edge/device-twin/harness.ts";
import { cloud, cloudRefusal, edge, edgeRefusal } from "#internal/test/shared/config/files.ts";
import { startCloudProcess } from "#internal/test/support/cloud/loaded-cloud.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

type Headers = Readonly<Record<string, string>>;

/** The status of an answer to a request with exactly these headers. */
async function statusOf(port: number, path: string, headers: Headers, method = "GET"): Promise<number> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}Connection: close\r\n\r\n`);
  const [data] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d+)/.exec(data.toString())?.[1]);
}

/** What a browser sends for a web page that has rebound its name, or asks across origins, and the answer. */
const fromPages: readonly (readonly [string, Headers])[] = [
  ["the host of another", { Host: "evil.example" }],
  ["the host of another with our port", { Host: "evil.example:10551" }],
  ["no host", { Host: "" }],
  ["a host that only begins as ours", { Host: "localhost.evil.example" }],
  ["a user before a host", { Host: "localhost@evil.example" }],
  ["an origin of another", { Host: "127.0.0.1", Origin: "http://evil.example" }],
  ["the origin of a file", { Host: "127.0.0.1", Origin: "null" }],
  ["a site of another", { Host: "127.0.0.1", "Sec-Fetch-Site": "cross-site" }],
  ["the same site on another port", { Host: "127.0.0.1", "Sec-Fetch-Site": "same-site" }],
];
const fromPrograms: readonly (readonly [string, Headers])[] = [
  ["127.0.0.1", { Host: "127.0.0.1" }],
  ["localhost with a port", { Host: "LOCALHOST:10551" }],
  ["[::1]", { Host: "[::1]:1" }],
  ["its own origin", { Host: "localhost:1", Origin: "http://localhost:1", "Sec-Fetch-Site": "same-origin" }],
  ["an address typed into a browser", { Host: "localhost:1", "Sec-Fetch-Site": "none" }],
];

describe("the servers of device values and of telemetry", () => {
  test("refuse requests that a foreign web page makes a browser send, and answer programs", async () => {
    using dir = tempDir("local-http");
    const query = { address: "127.0.0.1", port: 0, folder: dir.path };
    await using node = await startHarness(dir.path, { query });
    await using process = await startCloudProcess();
    const servers = [
      { port: node.twin.queryPort ?? 0, path: "/devices" },
      { port: process.ports["telemetry"] ?? 0, path: "/uploads" },
    ];
    for (const { port, path } of servers) {
      for (const [what, headers] of fromPages)
        expect([what, path, await statusOf(port, path, headers)]).toEqual([what, path, 403]);
      for (const [what, headers] of fromPrograms)
        expect([what, path, await statusOf(port, path, headers)]).toEqual([what, path, 200]);
      expect(await statusOf(port, path, { Host: "127.0.0.1" }, "OPTIONS")).toBe(405);
    }
    expect(process.log()).toContain("refused a request");
  });
});

interface Guarded extends AsyncDisposable {
  readonly server: LocalServer;
  readonly token: string;
}

async function startGuarded(dir: string, text = "a-token-of-the-test"): Promise<Guarded> {
  const token = join(dir, "token");
  writeFileSync(token, `${text}\n`);
  const app = new Hono();
  app.get("/", (c) => c.json({ ok: true }));
  app.post("/", async (c) => c.json(await c.req.json<unknown>()));
  app.get("/large", (c) => c.text("x".repeat(8_000_000)));
  const server = serveLocally(app, {
    address: "127.0.0.1",
    port: 0,
    tokenFile: { path: token, setting: "a.token-file" },
    what: "tests",
    portSetting: "a.port",
    folder: dir,
    name: "tests",
    clock: systemClock,
    log: silentLog(),
  });
  return { server, token, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

describe("a local server with a token", () => {
  const bearer = (token: string): Headers => ({ Host: "edge-1.lan", Authorization: `Bearer ${token}` });

  test("answers under any name with the token and not without", async () => {
    using dir = tempDir("local-http");
    await using guarded = await startGuarded(dir.path);
    const { port } = guarded.server;
    expect(await statusOf(port, "/", bearer("a-token-of-the-test"))).toBe(200);
    expect(await statusOf(port, "/", bearer("another-token-of-a-test"))).toBe(401);
    expect(await statusOf(port, "/", { Host: "127.0.0.1" })).toBe(401);
    const page = { ...bearer("a-token-of-the-test"), Origin: "http://evil.example" };
    expect(await statusOf(port, "/", page)).toBe(403);
  });

  test("accepts another token as soon as the file has it, and none when the file is missing", async () => {
    using dir = tempDir("local-http");
    await using guarded = await startGuarded(dir.path);
    const { port } = guarded.server;
    writeFileSync(`${guarded.token}.new`, "the-next-token-of-the-test");
    renameSync(`${guarded.token}.new`, guarded.token);
    expect(await statusOf(port, "/", bearer("a-token-of-the-test"))).toBe(401);
    expect(await statusOf(port, "/", bearer("the-next-token-of-the-test"))).toBe(200);
    rmSync(guarded.token);
    expect(await statusOf(port, "/", bearer("the-next-token-of-the-test"))).toBe(401);
  });

  test.each([
    ["too short", "short"],
    ["empty", ""],
    ["two words", "two words of a token"],
  ])("does not start when the file is %s", async (_what, text) => {
    using dir = tempDir("local-http");
    await expect(startGuarded(dir.path, text)).rejects.toThrow(
      `Cannot use a.token-file "${join(dir.path, "token")}": expected one word of at least 16 characters; make one with`,
    );
  });

  test("refuses bodies of the types that a web page may send unasked", async () => {
    using dir = tempDir("local-http");
    await using guarded = await startGuarded(dir.path);
    const post = async (type: string): Promise<number> => {
      const headers = { Authorization: "Bearer a-token-of-the-test", "Content-Type": type };
      const url = `http://127.0.0.1:${guarded.server.port}/`;
      return (await fetch(url, { method: "POST", headers, body: "{}" })).status;
    };
    expect(await post("text/plain;charset=UTF-8")).toBe(415);
    expect(await post("application/x-www-form-urlencoded")).toBe(415);
    expect(await post("multipart/form-data; boundary=x")).toBe(415);
    expect(await post("application/json")).toBe(200);
  });

  test("answers 429 when more large answers wait for readers than it may hold", async () => {
    using dir = tempDir("local-http");
    await using guarded = await startGuarded(dir.path);
    const { port } = guarded.server;
    using unread = new DisposableStack();
    const statuses: number[] = [];
    for (let count = 0; count < 6; count += 1) {
      const socket = unread.adopt(connect(port, "127.0.0.1"), (one) => one.destroy());
      socket.write("GET /large HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a-token-of-the-test\r\n\r\n");
      const [data] = (await once(socket, "data")) as [Buffer];
      socket.pause();
      statuses.push(Number(data.toString("latin1").slice(9, 12)));
    }
    expect(statuses).toEqual([200, 200, 200, 200, 429, 429]);
  });

  test("keeps its socket where only its user can reach it", async () => {
    using dir = tempDir("local-http");
    chmodSync(dir.path, 0o755);
    {
      await using _guarded = await startGuarded(dir.path);
      expect(existsSync(join(dir.path, "run/tests.sock"))).toBe(true);
      const mode = Bun.file(join(dir.path, "run")).stat();
      expect((await mode).mode & 0o777).toBe(0o700);
    }
    expect(existsSync(join(dir.path, "run/tests.sock"))).toBe(false);
  });
});

describe("a configuration", () => {
  const fix = (field: string): string =>
    `made with \`(umask 077; openssl rand -hex 32 > FILE)\`, or set ${field} to 127.0.0.1`;

  test("is refused when a local server could be reached from other machines without a token", () => {
    for (const address of ["0.0.0.0", "192.168.1.5", "::", "edge-1.lan"]) {
      expect(edgeRefusal(`devicetwin: { query-address: "${address}" }`)).toContain(
        `devicetwin.query-token-file: expected a file with a token, as devicetwin.query-address "${address}" can be reached from other machines, got nothing; name a file, ${fix("devicetwin.query-address")}`,
      );
      expect(cloudRefusal(`telemetry: { address: "${address}" }`)).toContain(
        `telemetry.token-file: expected a file with a token, as telemetry.address "${address}" can be reached from other machines, got nothing; name a file, ${fix("telemetry.address")}`,
      );
    }
  });

  test("is taken with a token or a loopback address", () => {
    const opened = edge(`devicetwin: { query-address: 0.0.0.0, query-token-file: /t }`);
    expect(opened.config.deviceTwin.query).toMatchObject({ address: "0.0.0.0", tokenFile: "/t" });
    for (const address of ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
      expect(cloud(`telemetry: { address: "${address}" }`).config.telemetry.http?.address).toBe(address);
  });

  test("is refused when an origin is none", () => {
    expect(edgeRefusal(`mqtt: { broker: { websocket-origins: [panel.lan] } }`)).toContain(
      'mqtt.broker.websocket-origins[0]: expected an origin as browsers send it, such as http://panel.lan:3000 without a path, got "panel.lan"',
    );
  });
});

describe("MQTT over WebSocket", () => {
  /** The HTTP status of the refusal, or "open". */
  async function dial(port: number | undefined, origin?: string): Promise<string> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, ["mqtt"], { ...(origin && { origin }) });
    const answered = Promise.withResolvers<string>();
    socket.on("open", () => answered.resolve("open"));
    socket.on("unexpected-response", (_request, response) => answered.resolve(String(response.statusCode)));
    socket.on("error", (error) => answered.resolve(error.message));
    const outcome = await answered.promise;
    socket.terminate();
    return outcome;
  }

  test("is refused to web pages of other origins", async () => {
    using dir = tempDir("origin");
    await using node = await startBus(dir.path);
    const { websocketPort: port } = node.bus;
    const refused = ["http://evil.example", "https://localhost.evil.example", "null"];
    for (const origin of refused) expect(await dial(port, origin)).toContain("403");
    for (const origin of [undefined, "http://localhost:3000", "http://127.0.0.1"])
      expect(await dial(port, origin)).toBe("open");
  });

  test("is open to web pages of origins that are named", async () => {
    using dir = tempDir("origin");
    const broker = { ...openBroker, websocketOrigins: ["http://panel.lan:3000"] };
    await using node = await startBus(dir.path, { broker });
    expect(await dial(node.bus.websocketPort, "http://panel.lan:3000")).toBe("open");
    expect(await dial(node.bus.websocketPort, "http://panel.lan")).toContain("403");
  });

  test("is open to web pages of any origin when nobody gets in without a password", async () => {
    using dir = tempDir("origin");
    const broker = { ...openBroker, anonymous: false };
    await using node = await startBus(dir.path, { broker });
    expect(await dial(node.bus.websocketPort, "http://panel.lan:3000")).toBe("open");
  });
});
