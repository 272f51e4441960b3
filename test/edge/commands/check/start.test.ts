import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { listen, makeFiles, spawnFile, startFile, type Files, type Started } from "./files.ts";

let files: Files;
beforeAll(async () => void (files = await makeFiles()));
afterAll(() => files[Symbol.dispose]());

function start(mqtt: string): Promise<Started> {
  return startFile(files, `mqtt: ${mqtt}`);
}

const listener = 'internal-server: "ssl://127.0.0.1:0"';

test.each([
  ["broker.crt", "text.pem", "", ["mqtt.broker.keyfile: text.pem has no private key in PEM; name the file"]],
  ["broker.crt", "locked.key", "", ["mqtt.broker.keyfile: locked.key has a private key that is locked by a"]],
  ["text.pem", "broker.key", "", ["mqtt.broker.certfile: text.pem has no certificate in PEM; name a file"]],
  ["gone.crt", "broker.key", "", ["mqtt.broker.certfile: gone.crt does not exist; name a file"]],
  [
    "broker.crt",
    "other.key",
    "",
    ["mqtt.broker.keyfile: other.key is the key of another certificate than broker.crt; name the file"],
  ],
  ["broker.crt", "broker.key", "text.pem", ["mqtt.broker.cafile: text.pem has no certificate in PEM; name"]],
  [
    "broker.key",
    "broker.crt",
    "",
    ["has a private key and no certificate", "has a certificate and no private key"],
  ],
  ["broken.crt", "broker.key", "", ["mqtt.broker.certfile: broken.crt is damaged; name a file"]],
])("edgecore with certificate %s, key %s and CA %j exits 2 and names field, file and fix", async (...row) => {
  const [cert, key, ca, texts] = row;
  const at = (name: string): string => (name === "" ? '""' : join(files.path, name));
  const { code, error } = await start(
    `{ ${listener}, broker: { certfile: ${at(cert)}, keyfile: ${at(key)}, cafile: ${at(ca)} } }`,
  );
  for (const text of texts) expect(error).toContain(text);
  expect(code).toBe(2);
});

test("edgecore exits 2 when the CA of the external broker is none", async () => {
  const { code, error } = await start(
    `{ mode: 2, server: "ssl://127.0.0.1:1", cafile: ${join(files.path, "text.pem")} }`,
  );
  expect([code, error]).toEqual([2, expect.stringContaining("mqtt.cafile: text.pem has no certificate")]);
});

test("edgecore exits 2 and names field and fix when its addresses cannot be listened on", async () => {
  await using taken = await listen(createServer());
  const { port } = taken;
  const rest = `mqtt: { internal-server: "tcp://127.0.0.1:${port}" }\ndevicetwin: { query-address: nope, query-port: 0, query-token-file: token }`;
  expect(await startFile(files, rest)).toEqual({
    code: 2,
    error: `Cannot start: port mqtt: 127.0.0.1:${port} is taken by another process; find the process with \`ss -ltnp 'sport = :${port}'\` and stop it, or change mqtt.internal-server | port devices: cannot listen on nope:0: it is no address of this machine; change devicetwin.query-address`,
  });
});

test("edgecore and its check name the keys of a KubeEdge file when its broker cannot listen", async () => {
  await using taken = await listen(createServer());
  const rest = `apiVersion: edgecore.config.kubeedge.io/v1alpha2
modules:
  edged: { hostnameOverride: n }
  eventBus: { mqttServerInternal: "tcp://127.0.0.1:${taken.port}" }`;
  const remedy = "and stop it, or change modules.eventBus.mqttServerInternal";
  const words = ["--data-dir", join(files.path, "theirs")];
  expect((await startFile(files, rest, words)).error).toContain(remedy);
  const child = spawnFile(files, rest, ["check", ...words]);
  expect(await new Response(child.stdout).text()).toContain(remedy);
});

test("edgecore names field and file and claims no success when it cannot read a key again", async () => {
  const at = (name: string): string => join(files.path, name);
  copyFileSync(at("broker.key"), at("live.key"));
  const tls = `certfile: ${at("broker.crt")}, keyfile: ${at("live.key")}`;
  const child = spawnFile(files, `mqtt: { ${listener}, broker: { ${tls} } }`);
  const lines = linesOf(child.stderr);
  await lines.until((line) => line.includes('"running"'));
  copyFileSync(at("text.pem"), at("live.key"));
  child.kill("SIGHUP");
  await lines.until((line) => line.includes("reload"));
  copyFileSync(at("broker.key"), at("live.key"));
  child.kill("SIGHUP");
  await lines.until((line) => line.includes("reloaded"));
  child.kill("SIGTERM");
  await child.exited;
  expect(
    lines.all.filter((line) => /reload|again/.test(line)).map((line) => line.slice(line.indexOf("msg"))),
  ).toEqual([
    expect.stringMatching(
      /^msg":"could not reload, keeping the present settings","error":"Cannot reload: mqtt.broker.keyfile: \S+live.key has no private key in PEM; name the file/,
    ),
    'msg":"reloaded log level and certificates"}',
  ]);
});

test("edgecore writes nothing but JSON lines when it talks to an external broker", async () => {
  const child = spawnFile(files, 'mqtt: { mode: 2, server: "tcp://127.0.0.1:1" }');
  const lines = linesOf(child.stderr);
  await lines.until((line) => line.includes("external MQTT broker"));
  child.kill("SIGTERM");
  await lines.until((line) => line.includes("stopped"));
  for (const line of lines.all) expect(JSON.parse(line)).toHaveProperty("msg");
});

function linesOf(stream: ReadableStream<Uint8Array>): {
  readonly all: readonly string[];
  readonly until: (test: (line: string) => boolean) => Promise<void>;
} {
  const all: string[] = [];
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let rest = "";
  return {
    all,
    until: async (test) => {
      for (let from = all.length; ;) {
        const { done, value } = await reader.read();
        const parts = (rest + decoder.decode(value)).split("\n");
        rest = parts.pop() ?? "";
        all.push(...parts);
        if (all.slice(from).some(test)) return;
        if (done) throw new Error(`ended: ${all.join("\n")}`);
      }
    },
  };
}
