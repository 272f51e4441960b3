import * as z from "zod/mini";
import {
  address,
  flag,
  labels,
  listOf,
  oneOf,
  port,
  section,
  text,
  textLike,
  texts,
  url,
  whole,
  type Values,
} from "./field.ts";

const modes = { internalMqttMode: 0, bothMqttMode: 1, externalMqttMode: 2 } as const;
const overTcp = ["tcp", "mqtt", "ssl", "tls", "mqtts"];
const seconds = (doc: string, fallback: number) => whole(doc, fallback, [1, 3600]);

const passwordHash = z.string().check(z.regex(/^\$(2[aby]|argon2(id|i|d))\$/));
const user = z.strictObject({ name: z.string().check(z.minLength(1)), "password-hash": passwordHash });
/** A topic filter of MQTT: `+` stands for one level, `#` for all that follow. */
const topicFilter = z.string().check(
  z.regex(/^(?!$)(?:(?:\+|[^+#/]*)\/)*(?:\+|#|[^+#/]*)$/),
  z.refine((topic) => !/%(?![uc](?![A-Za-z]))[A-Za-z]/.test(topic)),
);
const aclRule = z.strictObject({
  user: z.optional(z.string()),
  topic: topicFilter,
  access: z.enum(["read", "write", "readwrite", "deny"]),
});
const taint = z.strictObject({
  key: z.string(),
  value: z.optional(z.string()),
  effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
});

/** Every field of `conf/edge.yaml`, in the order it is written. */
export const edgeFields = {
  "data-dir": text(
    "Database, certificates and pod volumes are kept here. --data-dir wins.",
    "/var/lib/kubeedge",
  ),
  "log-level": oneOf("How much is logged; SIGHUP reads it again.", "info", [
    "debug",
    "info",
    "warn",
    "error",
  ]),
  mqtt: section("Where devices talk MQTT.", {
    mode: oneOf("0 the broker inside edgecore, 1 both, 2 an external broker.", 0, [0, 1, 2], {
      aliases: modes,
    }),
    server: address("The external broker (modes 1 and 2); ssl:// for TLS.", "tcp://127.0.0.1:1883", {
      expected: "tcp://host:port, ssl://host:port or ws://host:port/path",
      schemes: overTcp,
      schemesWithPath: ["ws", "wss"],
    }),
    "internal-server": address(
      "Where the inner broker listens (modes 0 and 1); port 0 takes any free one, ssl:// for TLS.",
      "tcp://127.0.0.1:1884",
      { expected: "tcp://host:port or ssl://host:port", schemes: overTcp },
    ),
    qos: oneOf("QoS of what edgecore publishes.", 0, [0, 1, 2]),
    retain: flag("Whether what edgecore publishes is retained.", false),
    "session-queue-size": whole(
      "Messages kept for a client with a session that is away.",
      100,
      [1, 1_000_000],
    ),
    "client-id": text("Client id at the external broker; empty: made from the node name.", ""),
    username: text("User name at the external broker.", ""),
    password: text("Password at the external broker.", "", { secret: true }),
    cafile: text("CA of the external broker (PEM); empty: the system's.", ""),
    certfile: text("Client certificate for the external broker.", ""),
    keyfile: text("Key of that certificate.", ""),
    broker: section("The broker inside edgecore.", {
      websocket: address("MQTT over WebSocket, e.g. ws://127.0.0.1:1885; empty: off.", "", {
        expected: "ws://host:port or wss://host:port",
        schemes: ["ws", "wss"],
      }),
      certfile: text("Server certificate for ssl:// and wss:// listeners.", ""),
      keyfile: text("Key of that certificate.", ""),
      cafile: text(
        "When set, clients of ssl:// and wss:// listeners need a certificate of this CA; the name in it counts as their user.",
        "",
      ),
      anonymous: flag("Whether clients without user and password, or a certificate, are let in.", true),
      users: listOf(
        "Users: [{ name, password-hash }]; `edgecore hash-password` prints a hash.",
        user,
        {
          name: { expected: "a name" },
          "password-hash": {
            expected: "a hash as `edgecore hash-password` prints it",
            source: "edgecore hash-password prints one",
          },
        },
        { secret: true },
      ),
      acl: listOf(
        "Topic rules, the first that covers user and topic decides: [{ user, topic, access }], access read, write, readwrite or deny; %u stands for the user, %c for the client id, which anybody may choose. Where none covers it, a user may use the topics of the device of that name and nothing else. Empty: everything is allowed.",
        aclRule,
        {
          user: { expected: "a name of mqtt.broker.users" },
          topic: {
            expected: "an MQTT topic filter such as a/+/b or a/#, with no placeholders but %u and %c",
          },
          access: { expected: "read, write, readwrite or deny" },
        },
      ),
      "max-connections": whole(
        "Connections at the same time, TCP and WebSocket together.",
        10_000,
        [1, 1_000_000],
      ),
      "max-packet-kb": whole("Largest packet a client may send, KiB.", 1024, [1, 262_144]),
    }),
  }),
  edgehub: section("The link to cloudcore.", {
    server: text(
      "Host or host:port of cloudcore; the two URLs below are made from it when they are empty.",
      "127.0.0.1",
    ),
    token: text("Join token (`cloudcore token`), needed once; --token wins.", "", { secret: true }),
    https: url(
      "Where certificates are got; empty: https://<server>:10002.",
      "",
      "an https URL",
      /^https:\/\/[^\s/]+/,
    ),
    "rotate-certificates": flag("Get a new certificate before the old one ends.", true),
    "outbox-mb": whole(
      "Disk for messages that wait for the link, MB; past it the oldest are folded or dropped.",
      256,
      [1, 1_000_000],
    ),
    websocket: section("The wss link.", {
      url: url(
        "Empty: wss://<server>:10000/<project-id>/<node>/events.",
        "",
        "a wss URL",
        /^wss:\/\/[^\s/]+/,
      ),
      certfile: text("Client certificate; empty: the one got with the token.", ""),
      keyfile: text("Key of that certificate.", ""),
      cafile: text("CA that signed cloudcore's certificate; empty: the one the token pins.", ""),
      "handshake-timeout": seconds("Seconds until the link must be open.", 30),
      "write-deadline": seconds("Kept for older files, without effect.", 15),
      "read-deadline": seconds("Kept for older files, without effect.", 15),
    }),
    controller: section("Who this node is.", {
      heartbeat: seconds("Seconds between keepalives.", 15),
      "project-id": text("First part of the link's path.", "e632aba927ea4ac2b575ec1603d56f10"),
      "node-id": text("Node name; empty: edged.hostname-override.", ""),
    }),
  }),
  edged: section("Pods on this node.", {
    "register-node": flag("Whether the node creates its own Node object.", true),
    "register-schedulable": flag("Whether it is schedulable from the start.", true),
    "register-node-namespace": text("Namespace of node messages on the wire.", "default"),
    "hostname-override": text("Node name; empty: the host name in lower case.", ""),
    "interface-name": text(
      "Network interface whose address is the node's; empty: the one of the default route.",
      "",
    ),
    "node-ip": text("Address of the node; wins over interface-name.", ""),
    labels: labels("Labels the node registers with.", {}),
    taints: listOf("Taints the node registers with: [{ key, value, effect }].", taint, {
      key: { expected: "text" },
      value: { expected: "text" },
      effect: { expected: "NoSchedule, PreferNoSchedule or NoExecute" },
    }),
    "node-status-update-frequency": seconds("Seconds between node status reports.", 10),
    "docker-address": url(
      "The container engine.",
      "unix:///var/run/docker.sock",
      "unix:///path or tcp://host:port",
      /^(unix:\/\/\/|tcp:\/\/)\S+/,
    ),
    "max-pods": whole("Pods this node takes.", 110, [1, 10_000]),
    "read-only-port": port(
      "Told in the Node's status as the kubelet's port (daemonEndpoints); edgecore does not listen there.",
      10_350,
    ),
    "cluster-dns": texts("Name servers of pods with dnsPolicy ClusterFirst; empty: the host's.", []),
    "cluster-domain": text("Search domain of such pods.", "cluster.local"),
    version: text("Version the node reports; empty: edgecore's own.", ""),
  }),
  devicetwin: section("What devices report.", {
    "history-hours": whole("Hours for which reported values are kept at the edge.", 168, [1, 87_600]),
    "history-per-property": whole("Values kept of one property.", 1000, [1, 10_000_000]),
    "history-values": whole("Values kept in all.", 1_000_000, [1, 1_000_000_000]),
    "query-address": text(
      "Where present and past values can be asked for over HTTP; empty: nowhere.",
      "127.0.0.1",
    ),
    "query-port": port("Its port; 0 takes any free one.", 10_551),
    "discovery-prefix": textLike(
      "Home Assistant's discovery prefix, e.g. homeassistant: devices found there are offered to the cloud; empty: off.",
      "",
      'the first levels of a topic, such as homeassistant, without "+" and "#" and with no "/" at either end',
      /^(?!\/)[^+#\0]*[^+#/\0]$/,
    ),
  }),
  meta: section("What the node knows of the cluster.", {
    sync: section("Repetition of what was said already.", {
      podstatus: section("Pod status.", {
        interval: whole(
          "Kept for older files, without effect: status is reported when it changes.",
          60,
          [60, 86_400],
        ),
      }),
    }),
  }),
  database: section("The one database of the edge.", {
    path: text("Empty: edgecore.db in the data directory.", ""),
  }),
} as const;

export type EdgeValues = Values<typeof edgeFields>;

/** Keys of older files that have no meaning here. */
export const retiredEdgeKeys: readonly string[] = [
  "edgehub.controller.placement",
  "edgehub.controller.placement-url",
  "edgehub.controller.refresh-ak-sk-interval",
  "edgehub.controller.auth-info-files-path",
  "edged.device-plugin-enabled",
  "edged.gpu-plugin-enabled",
  "edged.image-gc-high-threshold",
  "edged.image-gc-low-threshold",
  "edged.maximum-dead-containers-per-container",
  "database.driver",
  "database.name",
  "database.source",
  "modules",
];
