/** Of a request of a node these headers are passed on: whatever shows another identity is not among them. */
const passedHeaders: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "audit-id",
  "content-encoding",
  "content-type",
  "if-match",
  "if-none-match",
  "kubectl-command",
  "kubectl-session",
  "user-agent",
]);

type HeaderList = readonly (readonly [name: string, value: string])[];

/** The headers of a request for the API: bearer tokens are the one credential that is passed on. */
export function headersForApi(given: HeaderList): Headers {
  const headers = new Headers(
    given
      .filter(([name]) => passedHeaders.has(name.toLowerCase()))
      .map(([name, value]): [string, string] => [name, value]),
  );
  const tokens = given.filter(([name, value]) => /^authorization$/i.test(name) && /^bearer\s/i.test(value));
  const [token] = tokens;
  // Two of them could be read differently here and there.
  if (token && tokens.length === 1) headers.set("authorization", token[1]);
  // Without it the client of this process would ask for an encoding that the caller may not know.
  if (!headers.has("accept-encoding")) headers.set("accept-encoding", "identity");
  return headers;
}

/** What kube-apiserver serves and client libraries use; not its metrics, logs and debugging pages. */
const servedPath =
  /^\/(?:api|apis|openapi|version|healthz|livez|readyz|openid\/v1\/jwks|\.well-known\/openid-configuration)(?:[/?]|$)/;

/**
 * Whether a path, with its query, means to every reader what its text says: no empty, "." or ".." segments, escaped, with
 * parameters ("..;x") or not, no escaped slashes, backslashes or control characters.
 */
export function isPlainApiPath(path: string): boolean {
  const [pathname = ""] = path.split("?", 1);
  return (
    path.length <= longestPath &&
    /^[!-~]*$/.test(path) &&
    !path.includes("#") &&
    servedPath.test(path) &&
    !/\\|%(?:2e|2f|5c|25|[01][0-9a-f]|7f)/i.test(pathname) &&
    !/\/\.{0,2}(?:;[^/]*)?(?=\/)|\/\.{1,2}(?:;[^/]*)?$/.test(pathname)
  );
}

/** As long as kube-apiserver takes a request line with its headers to be. */
const longestPath = 32 * 1024;

/** Subresources that need an upgraded connection, which a stream does not have. */
export function needsUpgrade(path: string): boolean {
  return /^\/api\/v1\/namespaces\/[^/?]+\/pods\/[^/?]+\/(?:exec|attach|portforward)(?:\?|$)/.test(path);
}

/** Whether a node that has no token reads what `system:discovery` lets every user read: OpenAPI documents, for its kubectl. */
export function isForEveryUser(method: string, path: string, headers: Headers): boolean {
  return method === "GET" && /^\/openapi\/v3(?:[/?]|$)/.test(path) && !headers.has("authorization");
}
