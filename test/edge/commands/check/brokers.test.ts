import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { checkFile, listen, makeFiles, type Files } from "./files.ts";

let files: Files;
beforeAll(async () => void (files = await makeFiles()));
afterAll(() => files[Symbol.dispose]());

const at = (name: string): string => join(files.path, name);

/** Findings of `check` about MQTT. */
async function look(mqtt: string): Promise<string[]> {
  return (await checkFile(files, `mqtt: ${mqtt}`)).filter((line) => /mqtt|broker/.test(line));
}

function tlsBroker(): Server {
  const pair = { cert: readFileSync(at("broker.crt")), key: readFileSync(at("broker.key")) };
  return createTlsServer(pair, (socket) => socket.on("error", () => undefined));
}

const until = new Date(Date.now() + 365 * 86_400_000).toISOString().slice(0, 10);

test("check lists both ports of the broker, its certificate, key and CA", async () => {
  await using taken = await listen(createServer());
  const websocket = `wss://127.0.0.1:${taken.port}`;
  const tls = `certfile: ${at("broker.crt")}, keyfile: ${at("broker.key")}, cafile: ${at("ca.crt")}`;
  const lines = await look(
    `{ internal-server: "ssl://127.0.0.1:0", broker: { websocket: "${websocket}", ${tls} } }`,
  );
  expect(lines).toEqual([
    "ok port mqtt any free one",
    `fail port mqtt-websocket 127.0.0.1:${taken.port} is taken by another process; find the process with \`ss -ltnp 'sport = :${taken.port}'\` and stop it, or change mqtt.broker.websocket`,
    `ok mqtt.broker.certfile broker for 127.0.0.1, localhost, until ${until}`,
    "ok mqtt.broker.keyfile broker.key is the key of broker.crt",
    `ok mqtt.broker.cafile ca, until ${until}`,
  ]);
});

test("check names files the broker cannot use, with field and fix", async () => {
  const tls = `certfile: ${at("old.crt")}, keyfile: ${at("other.key")}, cafile: ${at("text.pem")}`;
  const [, ...lines] = await look(`{ internal-server: "ssl://127.0.0.1:0", broker: { ${tls} } }`);
  expect(lines).toEqual([
    expect.stringMatching(
      /^fail mqtt.broker.certfile old.crt expired on [-\d]+; name a file with a newer one in/,
    ),
    expect.stringMatching(
      /^fail mqtt.broker.keyfile other.key is the key of another certificate than old.crt; name/,
    ),
    expect.stringMatching(/^fail mqtt.broker.cafile text.pem has no certificate in PEM; name a file/),
  ]);
});

test("check warns of an external broker that is down", async () => {
  const { port } = await (async () => {
    await using gone = await listen(createServer());
    return gone;
  })();
  expect(await look(`{ mode: 2, server: "tcp://127.0.0.1:${port}" }`)).toEqual([
    `warn external broker tcp://127.0.0.1:${port}: ECONNREFUSED; start it, or correct mqtt.server; edgecore keeps trying`,
  ]);
});

test("check is content with an external broker whose certificate its CA signed", async () => {
  await using broker = await listen(tlsBroker());
  const server = `ssl://127.0.0.1:${broker.port}`;
  const tls = `cafile: ${at("ca.crt")}, certfile: ${at("broker.crt")}, keyfile: ${at("broker.key")}`;
  expect(await look(`{ mode: 2, server: "${server}", ${tls} }`)).toEqual([
    `ok mqtt.certfile broker for 127.0.0.1, localhost, until ${until}`,
    "ok mqtt.keyfile broker.key is the key of broker.crt",
    `ok mqtt.cafile ca, until ${until}`,
    `ok external broker ${server} accepts TLS connections`,
  ]);
});

test.each([
  ["another CA", "cafile: other.crt", "see that other.crt (mqtt.cafile) is the CA"],
  ["no CA", "cafile: ''", "name the CA of its certificate in mqtt.cafile"],
])("check fails with the fix when the external broker is asked with %s", async (_, tls, remedy) => {
  await using broker = await listen(tlsBroker());
  const named = tls.replace("other.crt", at("other.crt"));
  const line = (await look(`{ mode: 2, server: "ssl://127.0.0.1:${broker.port}", ${named} }`)).at(-1);
  expect(line).toStartWith(`fail external broker ssl://127.0.0.1:${broker.port}: `);
  expect(line).toContain(remedy);
});

test("check fails when the external broker has no TLS on a port where the URL expects it", async () => {
  const plain = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.destroy());
  });
  await using broker = await listen(plain);
  const line = (
    await look(`{ mode: 1, internal-server: "tcp://127.0.0.1:0", server: "ssl://127.0.0.1:${broker.port}" }`)
  ).at(-1);
  expect(line).toStartWith(`fail external broker ssl://127.0.0.1:${broker.port}: `);
  expect(line).toEndWith("and that this port is one for TLS");
});

test("check tries no TLS with files that cannot be used", async () => {
  await using broker = await listen(tlsBroker());
  const lines = await look(
    `{ mode: 2, server: "ssl://127.0.0.1:${broker.port}", cafile: ${at("gone.crt")} }`,
  );
  expect(lines).toEqual([
    expect.stringMatching(/^fail mqtt.cafile gone.crt does not exist; name a file/),
    `warn external broker ssl://127.0.0.1:${broker.port} accepts connections, TLS was not tried; correct the files named above`,
  ]);
});

test("check looks at no port that nothing listens on", async () => {
  const lines = await checkFile(files, "");
  expect(lines.filter((line) => / port /.test(line)).map((line) => line.split(" ")[2])).toEqual([
    "mqtt",
    "devices",
    "service-bus",
    "meta-server",
  ]);
});
