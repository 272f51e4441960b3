/** What a request is about, as Kubernetes' RequestInfo. */
export interface Target {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** What is asked for, as Kubernetes' authorizers see it. */
export interface ResourceAccess {
  readonly verb: "create" | "get" | "list" | "patch" | "update" | "watch";
  readonly group: string;
  readonly resource: string;
  /** empty: all namespaces, or a resource without */
  readonly namespace: string;
  readonly name: string;
}

/** Reads a path of resources; undefined for every other one, and for what is not well formed. */
export function parseTarget(pathname: string): Target | undefined {
  const parts = pathname.split("/").slice(1).map(decodeSegment);
  if (!parts.every((part) => part !== undefined)) return undefined;
  const [root, ...rest] = parts;
  const [group, version, ...path] = root === "api" ? ["", ...rest] : root === "apis" ? rest : [];
  if (group === undefined || version === undefined || path.length === 0) return undefined;
  const isNamespaced = path[0] === "namespaces" && path.length > 2;
  const [plural = "", name, subresource, ...more] = isNamespaced ? path.slice(2) : path;
  if (more.length > 0) return undefined;
  return { group, version, plural, name, subresource, namespace: isNamespaced ? path[1] : undefined };
}

/** Undefined for a segment that is empty, leads elsewhere or could be read in more ways than one. */
function decodeSegment(segment: string): string | undefined {
  try {
    const part = decodeURIComponent(segment);
    return part === "" || part === "." || part === ".." || /[/%]/.test(part) ? undefined : part;
  } catch {
    return undefined;
  }
}
