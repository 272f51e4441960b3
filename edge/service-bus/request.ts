import { endToEndHeaders } from "#shared/streams";
import type { HeaderFields } from "#shared/topics";
import { ServiceFailure } from "./failure.ts";

/** A request to a server on this node, as a peer sent it: nothing of it is checked. */
export interface UncheckedRequest {
  readonly port: unknown;
  readonly method: string;
  readonly path: string;
  readonly headers: HeaderFields;
}

/** A request that can be sent. */
export interface CheckedRequest {
  readonly port: number;
  readonly url: string;
  readonly method: string;
  /** with the query */
  readonly path: string;
  readonly headers: Headers;
}

/** Headers of the connection to the server, which this node sets; `expect` would make it wait for an interim answer. */
const ownHeaders = ["host", "expect", "keep-alive", "proxy-connection", "http2-settings"] as const;
/** CONNECT and TRACE make a server talk to others, or return what it was sent. */
const methods = /^(?!CONNECT$|TRACE$|TRACK$)[!#$%&'*+.^`|~\w-]{1,32}$/i;
/** Printable characters without those that servers and proxies read in different ways. */
const plainPath = /^\/[!$-[\]-~]*$/;
/** A segment of dots, also when escaped: servers would leave the folder that a rule names. */
const dotSegment = /(^|\/)(\.|%2e){1,2}(\/|$)/i;

/** @throws ServiceFailure when no server should see it */
export function checkRequest({ port, method, path, headers }: UncheckedRequest): CheckedRequest {
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw new ServiceFailure("bad-request", "expected a port from 1 to 65535");
  if (!methods.test(method))
    throw new ServiceFailure("bad-request", `method ${JSON.stringify(method)} is not passed on`);
  const [pathname = ""] = path.split("?", 1);
  if (!plainPath.test(path) || dotSegment.test(pathname))
    throw new ServiceFailure(
      "bad-request",
      'expected a path with escaped characters and without the segments "." and ".."',
    );
  return { port, url: `http://127.0.0.1:${port}${path}`, method, path, headers: checkHeaders(headers) };
}

function checkHeaders(fields: HeaderFields): Headers {
  const given = new Headers();
  try {
    for (const [name, value] of fields) given.append(name, value);
  } catch {
    throw new ServiceFailure("bad-request", "a header is not valid");
  }
  const length = given.get("content-length");
  // Two lengths, joined here, are how requests are smuggled past a proxy.
  if (length !== null && !/^\d{1,15}$/.test(length))
    throw new ServiceFailure("bad-request", "content-length is not valid");
  if (given.has("content-length") && given.has("transfer-encoding"))
    throw new ServiceFailure("bad-request", "expected content-length or transfer-encoding, got both");
  const headers = new Headers(endToEndHeaders(given).map(([name, value]) => [name, value]));
  for (const name of ownHeaders) headers.delete(name);
  return headers;
}
