import { quote } from "#shared/errors";
import { findOpenServer, isLoopback } from "./cloud-config.ts";
import { findEvictionProblems } from "./edged.ts";
import type { EdgeValues } from "./edge-fields.ts";
import { findProcessesProblems } from "./processes.ts";

type Mqtt = EdgeValues["mqtt"];
type FilePair = { readonly certfile: string; readonly keyfile: string };

/** What is wrong with an edge file although each field by itself is right, one text a problem. */
export function findContradictions({
  edged,
  edgehub,
  mqtt,
  devicetwin,
  "meta-server": metaServer,
}: EdgeValues): string[] {
  const { websocket } = edgehub;
  const inner = mqtt.mode === 2 ? [] : [...findListenerProblems(mqtt), ...findAccessProblems(mqtt)];
  return [
    ...((websocket.certfile === "") === (websocket.keyfile === "")
      ? []
      : ["edgehub.websocket.certfile: expected certfile and keyfile together, got one of them"]),
    ...(edgehub.token !== "" && edgehub["token-file"] !== ""
      ? ["edgehub.token-file: expected token or token-file, got both"]
      : []),
    ...findThresholds(edged),
    ...findHalfPair("mqtt", mqtt),
    ...findHalfPair("mqtt.broker", mqtt.broker),
    ...findTalkative(mqtt),
    ...inner,
    ...findOrigins(mqtt.broker["websocket-origins"]),
    ...findOpenServer({
      address: { field: "devicetwin.query-address", value: devicetwin["query-address"] },
      tokenFile: { field: "devicetwin.query-token-file", value: devicetwin["query-token-file"] },
    }),
    ...findOpenHttp(metaServer),
    ...findEvictionProblems(edged),
    ...findProcessesProblems(edged.processes),
  ];
}

/** Where the API on the node is open to every user of the machine; undefined for what is no place on the loopback. */
export function readOpenHttp(text: string): { readonly address: string; readonly port: number } | undefined {
  const [, host = "", port] = /^(\[[\da-f:.]+\]|[\w.-]+):(\d{1,5})$/i.exec(text) ?? [];
  if (!isLoopback(host) || Number(port) > 65_535) return undefined;
  return { address: host.replaceAll(/[[\]]/g, ""), port: Number(port) };
}

function findOpenHttp({ enabled, port, "open-http": open }: EdgeValues["meta-server"]): string[] {
  if (!enabled || open === "") return [];
  const place = readOpenHttp(open);
  if (!place)
    return [
      `meta-server.open-http: expected a loopback address and a port, such as 127.0.0.1:10552, as everyone who reaches it needs no token, got ${quote(open)}; for other machines and pods there is meta-server.port`,
    ];
  return place.port !== 0 && place.port === port
    ? [
        `meta-server.open-http: expected another port than meta-server.port, which is served with TLS, got ${port}; change either, such as meta-server.port: 10553`,
      ]
    : [];
}

/** kubelet refuses a low threshold that is not below the high one. */
const usualLowThreshold = 80;

function findThresholds(edged: EdgeValues["edged"]): string[] {
  const [high, low] = [edged["image-gc-high-threshold"], edged["image-gc-low-threshold"]];
  // The usual one gives way: older releases took no notice of either.
  return low < high || low === usualLowThreshold
    ? []
    : [
        `edged.image-gc-low-threshold: expected less than edged.image-gc-high-threshold, which is ${high}, got ${low}; change either`,
      ];
}

function findHalfPair(section: string, { certfile, keyfile }: FilePair): string[] {
  if ((certfile === "") === (keyfile === "")) return [];
  const [missing, given] = certfile === "" ? ["certfile", "keyfile"] : ["keyfile", "certfile"];
  return [
    `${section}.${missing}: expected a file, as ${section}.${given} names one, got nothing; set both or neither`,
  ];
}

/** Addresses are logged and shown; passwords are not to be. */
function findTalkative({ mode, server }: Mqtt): string[] {
  const { username, password } = (mode === 0 ? undefined : URL.parse(server)) ?? {
    username: "",
    password: "",
  };
  return username === "" && password === ""
    ? []
    : [
        "mqtt.server: expected an address without user and password, got one with them; set mqtt.username and mqtt.password",
      ];
}

function findOrigins(origins: readonly string[]): string[] {
  return origins.flatMap((origin, index) =>
    /^[a-z][a-z\d+.-]*:\/\/[^/\s]*$/i.test(origin)
      ? []
      : [
          `mqtt.broker.websocket-origins[${index}]: expected an origin as browsers send it, such as http://panel.lan:3000 without a path, got ${quote(origin)}`,
        ],
  );
}

/** Whether a listener of the built-in broker speaks TLS. */
function isSecure(url: string): boolean {
  return /^(ssl|tls|mqtts|wss):/.test(url);
}

function findListenerProblems({ broker, "internal-server": server }: Mqtt): string[] {
  const listeners = [
    { field: "mqtt.internal-server", url: server },
    { field: "mqtt.broker.websocket", url: broker.websocket },
  ];
  const secure = listeners.find(({ url }) => isSecure(url));
  if (!secure)
    return broker.cafile === ""
      ? []
      : [
          "mqtt.broker.cafile: expected a listener with TLS, as only there clients show certificates, got none; make mqtt.internal-server ssl:// or mqtt.broker.websocket wss://, or leave cafile empty",
        ];
  return broker.certfile === "" && broker.keyfile === ""
    ? [
        `mqtt.broker.certfile: expected a server certificate for ${secure.field} ${quote(secure.url)}, got nothing; set certfile and keyfile, or listen without TLS`,
      ]
    : [];
}

/** Rules that hold for nobody, and a door that opens for nobody. */
function findAccessProblems({ broker, "internal-server": server }: Mqtt): string[] {
  const names = broker.users.map(({ name }) => name);
  const twice = names.flatMap((name, index) => {
    const first = names.indexOf(name);
    return first === index
      ? []
      : [
          `mqtt.broker.users[${index}].name: expected a name of its own, got that of mqtt.broker.users[${first}]; remove one of them`,
        ];
  });
  const namedByCertificate = broker.cafile !== "" && (isSecure(server) || isSecure(broker.websocket));
  const shut = !broker.anonymous && names.length === 0 && !namedByCertificate;
  return [
    ...twice,
    ...(namedByCertificate ? [] : findRulesForNobody(broker, names)),
    ...(shut
      ? [
          "mqtt.broker.anonymous: expected true, as without mqtt.broker.users, and without mqtt.broker.cafile on a listener with TLS, nobody could connect, got false; add users or a cafile",
        ]
      : []),
  ];
}

function findRulesForNobody({ acl }: Mqtt["broker"], names: readonly string[]): string[] {
  return acl.flatMap(({ user }, index) =>
    user === undefined || names.includes(user)
      ? []
      : [
          `mqtt.broker.acl[${index}].user: expected a name of mqtt.broker.users, got ${quote(user)}; add that user, or leave user out for a rule about everybody`,
        ],
  );
}
