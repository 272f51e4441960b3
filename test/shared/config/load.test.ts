import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  cloudDefaults,
  cloudMinimum,
  cloudReference,
  edgeDefaults,
  edgeMinimum,
  edgeReference,
  loadCloudConfig,
  loadEdgeConfig,
} from "#shared/config";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { cloud, cloudRefusal, edge, edgeRefusal, nowhere, refusalOf } from "./files.ts";

const user = (name: string): string => `{ name: ${name}, password-hash: "$2b$10$abc" }`;

test.each([
  ["conf/controller.yaml", cloudDefaults],
  ["conf/edge.yaml", edgeDefaults],
])("%s follows the table of fields", (file, render) => {
  expect(readFileSync(join(import.meta.dir, "../../..", file), "utf8")).toBe(render());
});

test.each([
  ["controller.yaml", cloudReference],
  ["edge.yaml", edgeReference],
])("docs/configuration.md has the reference of %s from the table of fields", (file, render) => {
  const page = readFileSync(join(import.meta.dir, "../../..", "docs/configuration.md"), "utf8");
  const [, between] = page.split(`<!-- fields of ${file} -->`);
  expect(between?.split(`<!-- end of ${file} -->`)[0]?.trim()).toBe(render());
});

test("edge defaults load to the same as no file", () => {
  const none = loadEdgeConfig({ ...nowhere, hostName: "Pi-1" }, {});
  expect(edge(edgeDefaults()).config).toEqual(none.config);
  expect(edge(edgeMinimum()).config).toEqual(none.config);
});

test("cloud defaults load to the same as no file", () => {
  const none = loadCloudConfig(nowhere, {});
  expect(cloud(cloudDefaults()).config).toEqual(none.config);
  expect(cloud(cloudMinimum()).config).toEqual(none.config);
});

test("edge config takes its addresses from server and its name from the host", () => {
  const { config } = edge("edgehub: { server: 'cloud.example' }", { token: "T" });
  expect(config.nodeName).toBe("pi-1");
  expect(config.edgeHub.url).toBe("wss://cloud.example:10000/e632aba927ea4ac2b575ec1603d56f10/pi-1/events");
  expect(config.edgeHub.httpsUrl).toBe("https://cloud.example:10002");
  expect(config.edgeHub.token).toBe("T");
  expect(config.databasePath).toBe("/var/lib/kubeedge/edgecore.db");
});

test("edge config reads a v0.3 file", () => {
  const { config, warnings } = edge(`
mqtt:
  server: tcp://127.0.0.1:1883
  internal-server: tcp://127.0.0.1:1884
  mode: 0
  qos: 0
  retain: false
  session-queue-size: 100
edgehub:
  websocket:
    url: wss://10.0.0.9:10000/e632aba927ea4ac2b575ec1603d56f10/fb4ebb70-2783-42b8-b3ef-63e2fd6d242e/events
    certfile: /etc/kubeedge/certs/edge.crt
    keyfile: /etc/kubeedge/certs/edge.key
    handshake-timeout: 30
    write-deadline: 15
    read-deadline: 15
  controller:
    placement: false
    heartbeat: 15
    refresh-ak-sk-interval: 10
    auth-info-files-path: /var/IEF/secret
    placement-url: https://10.154.193.32:7444/v1/placement_external/message_queue
    project-id: e632aba927ea4ac2b575ec1603d56f10
    node-id: fb4ebb70-2783-42b8-b3ef-63e2fd6d242e
edged:
  register-node-namespace: default
  hostname-override: fb4ebb70-2783-42b8-b3ef-63e2fd6d242e
  interface-name: eth0
  node-status-update-frequency: 10
  device-plugin-enabled: false
  gpu-plugin-enabled: false
  image-gc-high-threshold: 80
  image-gc-low-threshold: 40
  maximum-dead-containers-per-container: 1
  docker-address: unix:///var/run/docker.sock
  version: 2.0.0
`);
  expect(config.nodeName).toBe("fb4ebb70-2783-42b8-b3ef-63e2fd6d242e");
  expect(config.edgeHub.httpsUrl).toBe("https://10.0.0.9:10002");
  expect(config.edgeHub.certFile).toBe("/etc/kubeedge/certs/edge.crt");
  expect(config.edged.interfaceName).toBe("eth0");
  expect(warnings).toEqual([
    "Fields that have no effect here: edgehub.controller.placement, edgehub.controller.refresh-ak-sk-interval, edgehub.controller.auth-info-files-path, edgehub.controller.placement-url, edged.device-plugin-enabled, edged.gpu-plugin-enabled, edged.maximum-dead-containers-per-container",
  ]);
});

test.each([
  ["internalMqttMode", true, false],
  ["bothMqttMode", true, true],
  ["externalMqttMode", false, true],
])("mqtt.mode %s is understood", (mode, inner, outer) => {
  const { mqtt } = edge(`mqtt: { mode: ${mode} }`).config;
  expect([mqtt.broker !== undefined, mqtt.external !== undefined]).toEqual([inner, outer]);
});

test("flags win over the file", () => {
  const text = "data-dir: /a\nlog-level: warn\nedgehub: { token: F, server: one }";
  const { config } = edge(text, { dataDir: "/b", logLevel: "debug", token: "G", server: "two:99" });
  expect([config.dataDir, config.logLevel, config.edgeHub.token]).toEqual(["/b", "debug", "G"]);
  expect(config.edgeHub.url).toStartWith("wss://two:99/");
  expect(config.databasePath).toBe("/b/edgecore.db");
});

test("empty sections and empty files count as defaults", () => {
  expect(edge("mqtt:\nedged:\n").config).toEqual(edge("").config);
});

describe("refusals", () => {
  test.each([
    ['mqtt: { mode: "internal" }', 'Cannot load FILE: mqtt.mode: expected 0, 1 or 2, got "internal"'],
    ["mqtt: { mod: 0 }", 'Cannot load FILE: mqtt.mod: unknown key, did you mean "mode"?'],
    ["edgeHub: {}", 'Cannot load FILE: edgeHub: unknown key, did you mean "edgehub"?'],
    ["zzzzzz: 1", "Cannot load FILE: zzzzzz: unknown key"],
    ["mqtt: 5", "Cannot load FILE: mqtt: expected names with values, got 5"],
    ["- 1", "Cannot load FILE: the file: expected names with values, got a list"],
    ["edgehub: { token: [secret] }", "Cannot load FILE: edgehub.token: expected text, got something else"],
    [
      "edged: { taints: [{ key: a, effect: Never }] }",
      'Cannot load FILE: edged.taints[0].effect: expected NoSchedule, PreferNoSchedule or NoExecute, got "Never"',
    ],
    [
      "mqtt: { qos: 9, retain: 'no' }\nedged: { max-pods: many }",
      'Cannot load FILE:\n  mqtt.qos: expected 0, 1 or 2, got 9\n  mqtt.retain: expected true or false, got "no"\n  edged.max-pods: expected a whole number from 1 to 10000, got "many"',
    ],
    ["a: 1\nmqtt: [1,\nc: 2\n", "Cannot load FILE: line 2: not YAML: Unexpected token"],
    [
      "mqtt:\n\tmode: 0\n",
      "Cannot load FILE: line 2: not YAML: Tab characters cannot be used as indentation",
    ],
    [
      "edged: { cluster-dns: &x [*x] }",
      "Cannot load FILE: edged.cluster-dns[0]: expected text, got something that refers to itself",
    ],
    [
      "edged: { hostname-override: Pi_1 }",
      'Cannot load FILE: edged.hostname-override: expected a node name of lower-case letters, digits, "-" and ".", got "Pi_1"',
    ],
    [
      "edged: { hostname-override: a }\nedgehub: { controller: { node-id: b } }",
      'Cannot load FILE: edgehub.controller.node-id: expected the node name of edged.hostname-override, "a", got "b"',
    ],
    [
      "edgehub: { websocket: { url: 'wss://a:70000/p/n/events' } }",
      'Cannot load FILE: edgehub.websocket.url: expected a wss URL, got "wss://a:70000/p/n/events"',
    ],
    ["edgehub: { server: 'a b' }", 'Cannot load FILE: edgehub.server: expected host or host:port, got "a b"'],
    [
      "edgehub: { websocket: { certfile: x } }",
      "Cannot load FILE: edgehub.websocket.certfile: expected certfile and keyfile together, got one of them",
    ],
    [
      "mqtt: { broker: { cafile: ca.crt } }",
      "Cannot load FILE: mqtt.broker.cafile: expected a listener with TLS, as only there clients show certificates, got none; make mqtt.internal-server ssl:// or mqtt.broker.websocket wss://, or leave cafile empty",
    ],
    ...["tcp://ann:secret@broker:1883", "ssl://ann@broker", "ws://:secret@broker:80/mqtt"].map((server) => [
      `mqtt: { mode: 2, server: "${server}" }`,
      "Cannot load FILE: mqtt.server: expected an address without user and password, got one with them; set mqtt.username and mqtt.password",
    ]),
    ...[
      "tcp://127.0.0.1:70000",
      "ws://127.0.0.1:17999",
      "tcp://127.0.0.1:17998/path",
      "tcp://127.0.0.1:1884?a",
      "tcp://:1884",
      "tcp://a b:1",
    ].map((server) => [
      `mqtt: { internal-server: "${server}" }`,
      `Cannot load FILE: mqtt.internal-server: expected tcp://host:port or ssl://host:port, with a port up to 65535, got "${server}"`,
    ]),
    ...["ws://127.0.0.1:70000", "tcp://127.0.0.1:1885", "ws://127.0.0.1:1885/mqtt"].map((server) => [
      `mqtt: { broker: { websocket: "${server}" } }`,
      `Cannot load FILE: mqtt.broker.websocket: expected ws://host:port or wss://host:port, with a port up to 65535, got "${server}"`,
    ]),
    [
      'mqtt: { mode: 2, server: "tcp://ann:secret@broker:70000" }',
      'Cannot load FILE: mqtt.server: expected tcp://host:port, ssl://host:port or ws://host:port/path, with a port up to 65535, got "tcp://…@broker:70000"',
    ],
    ...["%x/a", "a/%user", "a%C"].map((topic) => [
      `mqtt: { broker: { acl: [{ topic: "${topic}", access: read }] } }`,
      `Cannot load FILE: mqtt.broker.acl[0].topic: expected an MQTT topic filter such as a/+/b or a/#, with no placeholders but %u and %c, got "${topic}"`,
    ]),
    [
      "mqtt: { broker: { certfile: a.crt } }",
      "Cannot load FILE: mqtt.broker.keyfile: expected a file, as mqtt.broker.certfile names one, got nothing; set both or neither",
    ],
    [
      "mqtt: { broker: { keyfile: a.key } }",
      "Cannot load FILE: mqtt.broker.certfile: expected a file, as mqtt.broker.keyfile names one, got nothing; set both or neither",
    ],
    [
      "mqtt: { mode: 2, certfile: a.crt }",
      "Cannot load FILE: mqtt.keyfile: expected a file, as mqtt.certfile names one, got nothing; set both or neither",
    ],
    [
      "mqtt: { mode: 2, keyfile: a.key }",
      "Cannot load FILE: mqtt.certfile: expected a file, as mqtt.keyfile names one, got nothing; set both or neither",
    ],
    [
      'mqtt: { internal-server: "ssl://0.0.0.0:8883" }',
      'Cannot load FILE: mqtt.broker.certfile: expected a server certificate for mqtt.internal-server "ssl://0.0.0.0:8883", got nothing; set certfile and keyfile, or listen without TLS',
    ],
    [
      'mqtt: { broker: { websocket: "wss://0.0.0.0:8884" } }',
      'Cannot load FILE: mqtt.broker.certfile: expected a server certificate for mqtt.broker.websocket "wss://0.0.0.0:8884", got nothing; set certfile and keyfile, or listen without TLS',
    ],
    [
      `mqtt: { broker: { users: [${user("a")}], acl: [{ user: b, topic: "x", access: read }] } }`,
      'Cannot load FILE: mqtt.broker.acl[0].user: expected a name of mqtt.broker.users, got "b"; add that user, or leave user out for a rule about everybody',
    ],
    [
      'mqtt: { broker: { acl: [{ topic: "y", access: read }, { user: b, topic: "x", access: read }] } }',
      'Cannot load FILE: mqtt.broker.acl[1].user: expected a name of mqtt.broker.users, got "b"; add that user, or leave user out for a rule about everybody',
    ],
    [
      "mqtt: { broker: { anonymous: false } }",
      "Cannot load FILE: mqtt.broker.anonymous: expected true, as without mqtt.broker.users, and without mqtt.broker.cafile on a listener with TLS, nobody could connect, got false; add users or a cafile",
    ],
    [
      `mqtt: { broker: { users: [${user("a")}, ${user("b")}, ${user("a")}] } }`,
      "Cannot load FILE: mqtt.broker.users[2].name: expected a name of its own, got that of mqtt.broker.users[0]; remove one of them",
    ],
    ...["0.0.0.0:10552", "192.168.1.4:10552", "10552", "127.0.0.1", "127.0.0.1:99999", "pi.lan:10552"].map(
      (place) => [
        `meta-server: { open-http: "${place}" }`,
        `Cannot load FILE: meta-server.open-http: expected a loopback address and a port, such as 127.0.0.1:10552, as everyone who reaches it needs no token, got "${place}"; for other machines and pods there is meta-server.port`,
      ],
    ),
    [
      'meta-server: { open-http: "127.0.0.1:10550" }',
      "Cannot load FILE: meta-server.open-http: expected another port than meta-server.port, which is served with TLS, got 10550; change either, such as meta-server.port: 10553",
    ],
  ])("edge file %j is refused", (text, refusal) => {
    expect(edgeRefusal(text)).toBe(refusal);
  });

  test.each([
    [
      "cloudhub: { port: 70000 }",
      "Cannot load FILE: cloudhub.port: expected a port from 0 to 65535, got 70000",
    ],
    [
      "embedded: { enabled: false }",
      "Cannot load FILE: controller.kube: expected master or kubeconfig as embedded.enabled is false, got neither",
    ],
    [
      "controller: { kube: { master: localhost } }",
      'Cannot load FILE: controller.kube.master: expected an http(s) URL, got "localhost"',
    ],
    [
      "cloudhub: { port: 9, https-port: 9 }",
      "Cannot load FILE: cloudhub.https-port: expected another port than cloudhub.port, got 9",
    ],
  ])("cloud file %j is refused", (text, refusal) => {
    expect(cloudRefusal(text)).toBe(refusal);
  });

  test("a missing file is refused by name", () => {
    expect(refusalOf(() => loadCloudConfig({ ...nowhere, file: "/nonexistent/c.yaml" }, {}))).toBe(
      'Cannot load "/nonexistent/c.yaml": no such file',
    );
  });

  test("a host name that is no node name is refused with the way out", () => {
    expect(refusalOf(() => edge("", {}, "my_host"))).toBe(
      'Cannot load FILE: edged.hostname-override: expected a node name, as the host name "my_host" is none (lower-case letters, digits, "-" and ".")',
    );
  });
});

test("config is looked for in conf, the working directory and beside the executable", () => {
  using place = tempDir("places");
  const [work, bin] = [join(place.path, "work"), join(place.path, "bin")];
  for (const path of [join(work, "conf"), join(bin, "conf")]) mkdirSync(path, { recursive: true });
  const places = { workingDir: work, executable: join(bin, "edgecore"), hostName: "n" };
  const found = (): string | undefined => loadEdgeConfig(places, {}).file?.replace(place.path, "");
  const seen = [];
  for (const file of ["bin/edge.yaml", "bin/conf/edge.yaml", "work/edge.yaml", "work/conf/edge.yaml"]) {
    writeFileSync(join(place.path, file), "");
    seen.push(found());
  }
  expect(seen).toEqual(["/bin/edge.yaml", "/bin/conf/edge.yaml", "edge.yaml", "conf/edge.yaml"]);
});

test.each([
  `mqtt: { internal-server: "ssl://[::]:8883", broker: { certfile: c, keyfile: k, cafile: a, anonymous: false, acl: [{ user: fan, topic: "x", access: read }] } }`,
  `mqtt: { broker: { websocket: "wss://[::]:8884", certfile: c, keyfile: k, cafile: a, anonymous: false, acl: [{ user: fan, topic: "x", access: read }] } }`,
  `mqtt: { broker: { anonymous: false, users: [${user("a")}], acl: [{ user: a, topic: "x", access: read }, { topic: "y", access: deny }] } }`,
  `mqtt: { mode: 2, broker: { anonymous: false } }`,
  `mqtt: { mode: 1, internal-server: "mqtt://[::1]/", server: "wss://broker/mqtt?x=1" }`,
  `mqtt: { broker: { acl: [{ topic: "%u/%c/50%/a%u", access: read }] } }`,
  ...["127.0.0.1:10552", "localhost:0", "[::1]:10552"].map(
    (place) => `meta-server: { open-http: "${place}" }`,
  ),
  'meta-server: { port: 10553, open-http: "127.0.0.1:10550" }',
  ...[
    "tcp://mosquitto.1:1883",
    "ssl://[::1]:8883",
    "tcp://host_1",
    "mqtt://broker:1883/",
    "ws://broker/mqtt?a=b",
  ].map((server) => `mqtt: { mode: 2, server: "${server}" }`),
])("edge file %j is accepted", (text) => {
  expect(edgeRefusal(text)).toBe("accepted");
});

test.each([
  ["", undefined],
  [
    "runtime-endpoint: unix:///run/containerd/containerd.sock",
    { kind: "cri", address: "unix:///run/containerd/containerd.sock" },
  ],
  [
    "runtime-endpoint: unix:///var/run/docker.sock",
    { kind: "docker", address: "unix:///var/run/docker.sock" },
  ],
  [
    "runtime-endpoint: unix:///run/podman/podman.sock",
    { kind: "docker", address: "unix:///run/podman/podman.sock" },
  ],
  [
    "runtime-endpoint: unix:///var/run/cri-dockerd.sock",
    { kind: "cri", address: "unix:///var/run/cri-dockerd.sock" },
  ],
  ["runtime-endpoint: tcp://192.0.2.1:2375", { kind: "docker", address: "tcp://192.0.2.1:2375" }],
  ["docker-address: unix:///data/engine.sock", { kind: "docker", address: "unix:///data/engine.sock" }],
  [
    "docker-address: unix:///var/run/docker.sock, runtime-endpoint: unix:///run/crio.sock",
    { kind: "cri", address: "unix:///run/crio.sock" },
  ],
])("edged: { %s } is engine %p", (text, endpoint) => {
  expect(edge(`edged: { ${text} }`).config.edged.runtimeEndpoint).toEqual(endpoint as never);
});
