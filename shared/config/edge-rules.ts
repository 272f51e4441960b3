import { quote } from "#shared/errors";
import { findOpenServer } from "./cloud-config.ts";
import type { EdgeValues } from "./edge-fields.ts";

type Mqtt = EdgeValues["mqtt"];
type FilePair = { readonly certfile: string; readonly keyfile: string };

/** What is wrong with an edge file although each field by itself is right, one text a problem. */
export function findContradictions({ edgehub, mqtt, devicetwin }: EdgeValues): string[] {
  const { websocket } = edgehub;
  const inner = mqtt.mode === 2 ? [] : [...findListenerProblems(mqtt), ...findAccessProblems(mqtt)];
  return [
    ...((websocket.certfile === "") === (websocket.keyfile === "")
      ? []
      : ["edgehub.websocket.certfile: expected certfile and keyfile together, got one of them"]),
    ...(edgehub.token !== "" && edgehub["token-file"] !== ""
      ? ["edgehub.token-file: expected token or token-file, got both"]
      : []),
    ...findHalfPair("mqtt", mqtt),
    ...findHalfPair("mqtt.broker", mqtt.broker),
    ...findTalkative(mqtt),
    ...inner,
    ...findOrigins(mqtt.broker["websocket-origins"]),
    ...findOpenServer({
      address: { field: "devicetwin.query-address", value: devicetwin["query-address"] },
      tokenFile: { field: "devicetwin.query-token-file", value: devicetwin["query-token-file"] },
    }),
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
