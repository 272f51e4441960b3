import { asText, recordOf } from "#shared/json";
import type { RegistryAuth } from "#edge/runtime";
import { parseReference } from "#shared/image-names";

/** Where credentials of a docker config are for: a host, whose parts may have wildcards, a port and a path. */
interface Place {
  readonly hostParts: readonly string[];
  readonly port: string;
  readonly path: string;
}

/** kubelet: defaultRegistryKey, under which Docker's client stores a login to Docker Hub. */
const hubKey = "index.docker.io";

/**
 * Credentials for an image, those of the most exact place first; empty: it is pulled anonymously. As the keyring of
 * kubelet (pkg/credentialprovider/keyring.go): `*.example.com` is for hosts with as many parts, and a path is for
 * repositories that begin with it.
 *
 * @param configs texts of docker configs (`.dockerconfigjson`, or the older `.dockercfg`); others are skipped
 */
export function findCredentials(ref: string, configs: readonly string[]): RegistryAuth[] {
  const { registry, path } = parseReference(ref);
  const entries = configs.flatMap(entriesOf);
  const image = placeOf(`${registry}/${path}`);
  const keys = [...new Set(entries.map(([key]) => key))].toSorted().toReversed();
  const found = keys
    .filter((key) => matches(placeOf(key), image))
    .flatMap((wanted) => entries.filter(([key]) => key === wanted));
  const hub = registry === "docker.io" ? entries.filter(([key]) => key === hubKey) : [];
  return (found.length > 0 ? found : hub).map(([, auth]) => auth);
}

function entriesOf(text: string): [string, RegistryAuth][] {
  const config = parseConfig(text);
  return Object.entries(config).map(([server, entry]) => [keyOf(server), authOf(server, recordOf(entry))]);
}

function parseConfig(text: string): Readonly<Record<string, unknown>> {
  try {
    const config = recordOf(JSON.parse(text));
    return recordOf(config["auths"] ?? config);
  } catch {
    // Not JSON: kubelet skips it as well.
    return {};
  }
}

/** The server without what says nothing about the place: the scheme, and the version of the protocol. */
function keyOf(server: string): string {
  const [, host = "", path = ""] = /^(?:https?:\/\/)?([^/]*)(.*)$/.exec(server) ?? [];
  const rest = path.replace(/^\/v[12](?=\/)/, "");
  return rest === "/" ? host : host + rest;
}

function placeOf(key: string): Place {
  const [, authority = "", path = ""] = /^([^/]*)(.*)$/.exec(key) ?? [];
  const [, host = authority, port = ""] = /^(.*):(\d+)$/.exec(authority) ?? [];
  return { hostParts: host.split("."), port, path };
}

function matches(place: Place, image: Place): boolean {
  return (
    place.port === image.port &&
    place.hostParts.length === image.hostParts.length &&
    image.path.startsWith(place.path) &&
    place.hostParts.every((part, index) => matchesPart(part, image.hostParts[index] ?? ""))
  );
}

/**
 * Go's filepath.Match without classes, which no host needs. In time that grows with both lengths, whatever the pattern: anyone
 * who makes a Secret for a pod writes it.
 */
function matchesPart(pattern: string, part: string): boolean {
  let [at, inPart] = [0, 0];
  /** The last `*`, and where the part went on after it. */
  let star: { at: number; inPart: number } | undefined;
  while (inPart < part.length) {
    if (pattern[at] === "*") star = { at: at++, inPart };
    else if (at < pattern.length && (pattern[at] === "?" || pattern[at] === part[inPart])) {
      at += 1;
      inPart += 1;
    } else if (star) {
      star.inPart += 1;
      [at, inPart] = [star.at + 1, star.inPart];
    } else return false;
  }
  return /^\**$/.test(pattern.slice(at));
}

function authOf(server: string, entry: Readonly<Record<string, unknown>>): RegistryAuth {
  const [username = "", ...rest] = Buffer.from(asText(entry["auth"]), "base64").toString().split(":");
  const identitytoken = asText(entry["identitytoken"]);
  return {
    username: asText(entry["username"] ?? username),
    password: asText(entry["password"] ?? rest.join(":")),
    serveraddress: server,
    ...(identitytoken === "" ? {} : { identitytoken }),
  };
}
