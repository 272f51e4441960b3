import { ProtocolError } from "#shared/errors";
import { asRecord, tryJson } from "#shared/json";

/** A request to the kubelet of a node, with which a connection through the tunnel begins. */
export interface KubeletRequest {
  readonly method: string;
  /** with the query */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** Where KubeEdge's edged listens; whatever a node calls itself, it dials its loopback. */
const edgedHost = "127.0.0.1:10350";
const mostHeaders = 100;

/** The message that opens a connection, in the fields of Go's `url.URL`. */
export function encodeConnect(id: number, { method, path, headers }: KubeletRequest): Uint8Array {
  const [rawPath, query = ""] = splitOnce(path, "?");
  const plain = decodeURIComponent(rawPath);
  const connect = {
    MessID: id,
    url: {
      Scheme: "http",
      Opaque: "",
      User: null,
      Host: edgedHost,
      Path: plain,
      RawPath: plain === rawPath ? "" : rawPath,
      OmitHost: false,
      ForceQuery: false,
      RawQuery: query,
      Fragment: "",
      RawFragment: "",
    },
    header: Object.fromEntries(
      Map.groupBy(headers, ([name]) => name)
        .entries()
        .map(([name, all]) => [name, all.map(([, value]) => value)]),
    ),
    method,
  };
  return new TextEncoder().encode(JSON.stringify(connect));
}

/** @throws ProtocolError when it is none */
export function readConnect(bytes: Uint8Array): KubeletRequest {
  const { url, header, method } = asRecord(tryJson(new TextDecoder().decode(bytes))) ?? {};
  const read = {
    method: typeof method === "string" && method !== "" ? method : "GET",
    path: pathOf(asRecord(url) ?? {}),
    headers: headersOf(header),
  };
  // They become the head of a request: nothing may end a line of it, or a word of the first.
  const words = [read.method, read.path, ...read.headers.map(([name]) => name)];
  const values = read.headers.map(([, value]) => value);
  const isValid =
    words.every((word) => /^[\u0021-\u007e]+$/.test(word)) &&
    values.every((value) => /^[\t\u0020-\u007e\u0080-\u00ff]*$/.test(value));
  if (isValid) return read;
  throw new ProtocolError("bad-connect", "a connection of the tunnel with a request that is not valid");
}

/** @throws ProtocolError when there is none */
function pathOf({ Path: plain, RawPath: raw, RawQuery: query }: Readonly<Record<string, unknown>>): string {
  if (typeof plain !== "string" || !plain.startsWith("/"))
    throw new ProtocolError("bad-connect", "a connection of the tunnel without a path");
  const encoded = encodeURI(plain).replaceAll("?", "%3F").replaceAll("#", "%23");
  const path = typeof raw === "string" && raw !== "" ? raw : encoded;
  return typeof query === "string" && query !== "" ? `${path}?${query}` : path;
}

function headersOf(header: unknown): [name: string, value: string][] {
  const all = Object.entries(asRecord(header) ?? {}).flatMap(([name, values]) =>
    (Array.isArray(values) ? values : []).flatMap((value: unknown): [string, string][] =>
      typeof value === "string" ? [[name, value]] : [],
    ),
  );
  if (all.length > mostHeaders)
    throw new ProtocolError("bad-connect", `more than ${mostHeaders} header fields`);
  return all;
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
