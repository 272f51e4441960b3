/** The parts of a path of the API, as `RequestInfo` of apiserver; whether the resource exists is not known yet. */
export interface RequestTarget {
  readonly group: string;
  readonly version: string;
  /** lower-case plural; "" for the group version itself */
  readonly resource: string;
  /** "" for cluster-scoped resources and for collections across namespaces */
  readonly namespace: string;
  /** "" for collections */
  readonly name: string;
  readonly subresource: string;
  /** The deprecated form of a watch: `/api/v1/watch/pods`. */
  readonly watching: boolean;
  /** What follows the subresource `proxy`, as it was sent: for the server behind it. */
  readonly proxyPath: string;
}

/** Up to the subresource, and what follows it; only core resources are proxied. */
const proxied = /^(\/api\/v1\/(?:namespaces\/[^/]+\/)?[^/]+\/[^/]+\/proxy)(\/.*)?$/s;

/**
 * Parses `/api/v1/…` and `/apis/<group>/<version>/…`; undefined for other paths. An encoded slash names nothing: objects
 * are kept under `<namespace>/<name>`, and no part may reach into another.
 */
export function parseTarget(path: string): RequestTarget | undefined {
  const [, own = path, proxyPath = ""] = proxied.exec(path) ?? [];
  const all = own.split("/");
  const named = (part: string): boolean => part !== "";
  const [root, ...parts] = all.slice(all.findIndex(named), all.findLastIndex(named) + 1).map(decode);
  // A part that is left out names nothing either: what follows it would be taken for something else.
  if (parts.some((part) => part === "" || part.includes("/"))) return undefined;
  if (root === "api" && parts.length > 0)
    return { ...targetOf("", parts[0] ?? "", parts.slice(1)), proxyPath };
  if (root === "apis" && parts.length > 1)
    return { ...targetOf(parts[0] ?? "", parts[1] ?? "", parts.slice(2)), proxyPath };
  return undefined;
}

const ofNamespaceItself = new Set(["status", "finalize"]);

function targetOf(group: string, version: string, path: readonly string[]): Omit<RequestTarget, "proxyPath"> {
  const watching = path[0] === "watch" && path.length > 1;
  const parts = watching ? path.slice(1) : path;
  const inNamespace = parts[0] === "namespaces" && parts.length > 2 && !ofNamespaceItself.has(parts[2] ?? "");
  const [resource = "", name = "", ...rest] = inNamespace ? parts.slice(2) : parts;
  const namespace = inNamespace ? (parts[1] ?? "") : "";
  return { group, version, resource, namespace, name, subresource: rest.join("/"), watching };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The RBAC verb of a request. @param watch whether its query asks for a watch */
export function verbOf(
  method: string,
  { name, watching }: Pick<RequestTarget, "name" | "watching">,
  watch: boolean,
): string {
  if (watching) return "watch";
  const single = name !== "";
  switch (method) {
    case "GET":
    case "HEAD":
      return watch ? "watch" : single ? "get" : "list";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return single ? "delete" : "deletecollection";
    default:
      return method.toLowerCase();
  }
}

/** Whether a query parameter is set; one without a value is, as upstream. */
export function isTrue(value: string | null | undefined): boolean {
  return value === "" || value === "1" || value?.toLowerCase() === "true";
}
