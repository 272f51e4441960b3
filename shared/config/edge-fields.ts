import * as z from "zod/mini";
import {
  address,
  flag,
  listOf,
  oneOf,
  port,
  ports,
  section,
  text,
  textLike,
  texts,
  url,
  whole,
  type Values,
} from "./field.ts";
import { edgedSection } from "./edged.ts";

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

/** Every field of `conf/edge.yaml`, in the order it is written. */
export const edgeFields = {
  "data-dir": text(
    "Directory for database, certificates and pod volumes. --data-dir takes precedence.",
    "/var/lib/kubeedge",
  ),
  "log-level": oneOf("Log level; reloaded on SIGHUP.", "info", ["debug", "info", "warn", "error"]),
  mqtt: section("MQTT for devices.", {
    mode: oneOf("0: built-in broker, 1: both, 2: external broker.", 0, [0, 1, 2], {
      aliases: modes,
    }),
    server: address(
      "Address of the external broker (modes 1 and 2). ssl:// for TLS.",
      "tcp://127.0.0.1:1883",
      {
        expected: "tcp://host:port, ssl://host:port or ws://host:port/path",
        schemes: overTcp,
        schemesWithPath: ["ws", "wss"],
      },
    ),
    "internal-server": address(
      "Listening address of the built-in broker (modes 0 and 1). ssl:// for TLS. Port 0: any free port.",
      "tcp://127.0.0.1:1884",
      { expected: "tcp://host:port or ssl://host:port", schemes: overTcp },
    ),
    qos: oneOf("QoS of messages that edgecore publishes.", 0, [0, 1, 2]),
    retain: flag("Whether messages that edgecore publishes are retained.", false),
    "session-queue-size": whole(
      "Maximum queued messages for an offline client with a persistent session.",
      100,
      [1, 1_000_000],
    ),
    "protocol-version": oneOf("Version of MQTT for the external broker: 4 is 3.1.1.", 4, [4, 5]),
    "client-id": text("Client id at the external broker. Empty: derived from the node name.", ""),
    username: text("User name at the external broker.", ""),
    password: text("Password at the external broker.", "", { secret: true }),
    cafile: text("CA of the external broker (PEM). Empty: the system's CAs.", ""),
    certfile: text("Client certificate for the external broker (PEM).", ""),
    keyfile: text("Private key of that certificate.", ""),
    broker: section("The built-in broker.", {
      websocket: address(
        "Listening address for MQTT over WebSocket, e.g. ws://127.0.0.1:1885. Empty: disabled.",
        "",
        {
          expected: "ws://host:port or wss://host:port",
          schemes: ["ws", "wss"],
        },
      ),
      "websocket-origins": texts(
        "Origins of web pages that may connect over WebSocket, e.g. http://panel.lan:3000. Pages served by the node itself are always allowed, and so are all pages if anonymous is false and cafile is empty.",
        [],
      ),
      certfile: text("Server certificate for ssl:// and wss:// listeners (PEM).", ""),
      keyfile: text("Private key of that certificate.", ""),
      cafile: text(
        "If set, clients of ssl:// and wss:// listeners need a certificate of this CA; its common name is their user.",
        "",
      ),
      anonymous: flag("Whether clients without user and password, or a certificate, are accepted.", true),
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
        "Topic rules: [{ user, topic, access }]. The first that matches user and topic decides. access is read, write, readwrite or deny; %u is the user, %c the client id (unauthenticated). If none matches, a user may use the topics of the device with that name and nothing else. Empty: everything is allowed.",
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
        "Maximum number of connections, TCP and WebSocket together.",
        10_000,
        [1, 1_000_000],
      ),
      "max-packet-kb": whole("Maximum size of a packet from a client, KiB.", 1024, [1, 262_144]),
      "slow-clients-mb": whole(
        "Maximum memory for messages queued to slow clients, all clients together, MiB. For one client it is 8, or one packet. Above it QoS 0 messages are dropped; a client with other messages is disconnected.",
        64,
        [4, 16_384],
      ),
      "receive-maximum": whole(
        "Unacknowledged messages of QoS 1 and 2 that a client of MQTT 5 may send (Receive Maximum).",
        1000,
        [1, 10_000],
      ),
      "topic-alias-maximum": whole(
        "Topic aliases that a client of MQTT 5 may use (Topic Alias Maximum). 0: none.",
        10,
        [0, 1000],
      ),
      "session-expiry-maximum-s": whole(
        "Maximum time for which the session of a client that is away is kept, seconds, also for clients of MQTT 3. 0: as long as the client asks for, up to forever.",
        0,
        [0, 4_294_967_294],
      ),
      "keepalive-maximum-s": whole(
        "Maximum keepalive of clients of MQTT 5, seconds; those that ask for more or none get this one (Server Keep Alive). 0: no limit.",
        0,
        [0, 65_535],
      ),
    }),
  }),
  edgehub: section("The link to cloudcore.", {
    server: text("Host or host:port of cloudcore; the URLs below default to it.", "127.0.0.1"),
    token: text(
      "Join token (`cloudcore token`), needed once. --token, --token-file and KUBEEDGE_TOKEN take precedence.",
      "",
      { secret: true },
    ),
    "token-file": text(
      "File with the join token, instead of token. It can be removed once the node has joined.",
      "",
    ),
    https: url(
      "URL for enrollment. Empty: https://<server>:10002.",
      "",
      "an https URL",
      /^https:\/\/[^\s/]+/,
    ),
    "rotate-certificates": flag(
      "Certificate rotation: renew the node's certificate before it expires.",
      true,
    ),
    "outbox-mb": whole(
      "Maximum disk space for messages that wait for the link, MB. Beyond it the oldest are folded or dropped.",
      256,
      [1, 1_000_000],
    ),
    websocket: section("The link itself (wss).", {
      url: url(
        "URL. Empty: wss://<server>:10000/<project-id>/<node>/events.",
        "",
        "a wss URL",
        /^wss:\/\/[^\s/]+/,
      ),
      certfile: text("Client certificate (PEM). Empty: the one issued for the token.", ""),
      keyfile: text("Private key of that certificate.", ""),
      cafile: text("CA of cloudcore's certificate (PEM). Empty: the one that the token pins.", ""),
      "handshake-timeout": seconds("Timeout for opening the link, seconds.", 30),
      "write-deadline": seconds("Without effect, accepted for older files.", 15),
      "read-deadline": seconds("Without effect, accepted for older files.", 15),
    }),
    controller: section("Identity of this node on the link.", {
      heartbeat: seconds("Interval between keepalives, seconds.", 15),
      "project-id": text("First part of the path of the link.", "e632aba927ea4ac2b575ec1603d56f10"),
      "node-id": text("Node name. Empty: edged.hostname-override.", ""),
    }),
  }),
  edged: edgedSection,
  devicetwin: section("Device twins and history.", {
    "history-hours": whole("Retention of reported values on the node, hours.", 168, [1, 87_600]),
    "history-per-property": whole("Maximum number of values per property.", 1000, [1, 10_000_000]),
    "history-values": whole("Maximum number of values in total.", 1_000_000, [1, 1_000_000_000]),
    "query-address": text(
      "Address of the HTTP server for devices, history and outbox. Any but a loopback address requires query-token-file. Empty: disabled.",
      "127.0.0.1",
    ),
    "query-port": port("Port of that server. 0: any free port.", 10_551),
    "query-token-file": text(
      "File with the bearer token that requests to that server must carry. Empty: no authentication.",
      "",
    ),
    "dmi-socket": textLike(
      "Unix socket where mappers of KubeEdge register (DMI v1alpha1 and v1beta1), for root alone. Empty: disabled.",
      "/etc/kubeedge/dmi.sock",
      "the path of a socket of at most 80 bytes, such as /etc/kubeedge/dmi.sock",
      /^(\/(?!.*\/$)[^\0]{1,79})?$/,
    ),
    mappers: texts(
      "Directories with mappers made by `edgecore new-mapper`, which edgecore runs as processes beside it.",
      [],
    ),
    "mapper-protocols": texts(
      "Protocols of devices that are left to mappers although edgecore has a driver for them, such as modbus. A mapper that registers takes over its protocol anyway.",
      [],
    ),
    "discovery-prefix": textLike(
      "Topic prefix of Home Assistant discovery, e.g. homeassistant. Discovered devices are offered to the cloud. Empty: disabled.",
      "",
      'the first levels of a topic, such as homeassistant, without "+" and "#" and with no "/" at either end',
      /^(?!\/)[^+#\0]*[^+#/\0]$/,
    ),
  }),
  edgestream: section(
    "The tunnel to a cloud of KubeEdge, for logs and commands of pods. This cloudcore needs none.",
    {
      enabled: flag("Whether it is opened while the link is to a cloud of KubeEdge.", true),
      server: text("Host or host:port of its cloudStream. Empty: port 10004 of the host of edgehub.", ""),
    },
  ),
  "service-bus": section("HTTP between programs on this node and the cloud.", {
    enabled: flag(
      "Whether the cloud may call servers on this node, and programs here targets of the cloud.",
      true,
    ),
    port: port(
      "Port on 127.0.0.1 where programs call targets that a Rule names, while there is such a Rule. 0: any free port.",
      9060,
    ),
    timeout: whole("Time for a server or a target to answer, seconds.", 60, [1, 240]),
    "body-limit-mb": whole("Maximum size of a request body for a server on this node, MiB.", 64, [1, 65_536]),
    "allowed-ports": ports(
      "Ports on 127.0.0.1 that the cloud may call besides those that a RuleEndpoint of a Rule for this node or a hostPort of a pod names.",
      [],
    ),
    "refused-ports": ports("Ports that the cloud may never call.", []),
  }),
  "meta-server": section("The Kubernetes API on the node.", {
    enabled: flag("Whether it is served.", true),
    address: text("Address to listen on (https), for programs on this machine.", "127.0.0.1"),
    port: port("Port. 0: any free port.", 10_550),
    "pod-address": text(
      "Address where pods reach it, on the same port: one of this machine, or auto for that of the bridge of Docker (docker0) or of CNI (cni0). Only peers in the network of that address are admitted. Empty: pods with a network of their own do not reach it.",
      "auto",
    ),
    "open-http": text(
      "Loopback address and port where it is also served without TLS and without authentication, as KubeEdge's MetaServer at 127.0.0.1:10550: every user of this machine reads what the node has, except Secrets, and sets desired values of its devices. Empty: nowhere.",
      "",
    ),
  }),
  meta: section("MetaManager.", {
    sync: section("Repetition of reports.", {
      podstatus: section("Pod status.", {
        interval: whole(
          "Without effect, accepted for older files: status is reported when it changes.",
          60,
          [60, 86_400],
        ),
      }),
    }),
  }),
  database: section("edgecore's database.", {
    path: text("Path. Empty: edgecore.db in the data directory.", ""),
    "flush-ms": whole(
      "What a loss of power may take of values that devices report with QoS 0, milliseconds; the end of edgecore takes none. 0: each is on disk before it is answered, as those of QoS 1 and 2 always are.",
      1000,
      [0, 60_000],
    ),
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
  "edged.maximum-dead-containers-per-container",
  "database.driver",
  "database.name",
  "database.source",
  "modules",
];
