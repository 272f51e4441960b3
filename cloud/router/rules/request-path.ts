/** In the place of a node: the nodes that the rule names. No node can have this name. */
export const nodesOfRule = "-";

/** `/<node>/<namespace>/<path>` of the REST entry. */
export interface RequestPath {
  readonly node: string;
  readonly namespace: string;
  /** of the path, decoded; each is one part, whatever it was written like */
  readonly parts: readonly string[];
  readonly endsWithSlash: boolean;
  /** with its question mark, as sent; empty without one */
  readonly query: string;
  readonly isDryRun: boolean;
}

export type ReadPath =
  { readonly ok: true; readonly path: RequestPath } | { readonly ok: false; readonly problem: string };

/** A part decodes to at most this; Linux allows no longer file name either. */
const longestPart = 255;
const longestPath = 8192;
const mostParts = 64;
/** Names of nodes and namespaces, DNS names, and `nodesOfRule`. */
const nodeName = /^(-|[a-z0-9][-a-z0-9.]{0,252})$/;
/** A path from the root, and a query of printable characters of ASCII. */
const originForm = /^(\/[^?#]*)(\?[!"$-~]*)?$/;
const namespaceName = /^[a-z0-9][-a-z0-9]{0,62}$/;

/**
 * Reads the target of a request as it was sent. Nothing is normalized: a path that another program might read otherwise (empty
 * parts, dots, encoded slashes, backslashes, control characters) is refused.
 */
export function readRequestPath(target: string): ReadPath {
  const split = splitTarget(target);
  if (typeof split === "string") return { ok: false, problem: split };
  const { written, ...path } = split;
  if (written.length > mostParts) return { ok: false, problem: `the path has more than ${mostParts} parts` };
  const parts: string[] = [];
  for (const part of written) {
    const decoded = decodePart(part);
    if (decoded === undefined)
      return { ok: false, problem: `the path has a part that is refused: ${shown(part)}` };
    parts.push(decoded);
  }
  return { ok: true, path: { ...path, parts, isDryRun: isDryRun(path.query) } };
}

interface SplitTarget extends Omit<RequestPath, "isDryRun" | "parts"> {
  /** of the path, as sent */
  readonly written: readonly string[];
}

/** @returns a text when it is no such path */
function splitTarget(target: string): SplitTarget | string {
  if (target.length > longestPath) return `the path is longer than ${longestPath} characters`;
  const [, whole, query = ""] = originForm.exec(target) ?? [];
  if (whole === undefined)
    return "expected a path: /<node>/<namespace>/<path>, without characters that must be escaped";
  const endsWithSlash = whole.endsWith("/");
  const [node = "", namespace = "", ...written] = whole.slice(1, endsWithSlash ? -1 : undefined).split("/");
  if (!nodeName.test(node) || !namespaceName.test(namespace) || written.length === 0)
    return "expected /<node>/<namespace>/<path>, with names of Kubernetes";
  return { node, namespace, written, endsWithSlash, query };
}

/** Decoded once: what is still escaped then is text. */
function decodePart(part: string): string | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(part);
  } catch {
    return undefined;
  }
  if (decoded === "" || decoded === "." || decoded === ".." || decoded.length > longestPart) return undefined;
  return /[/\\\p{Cc}\p{Zl}\p{Zp}]/u.test(decoded) ? undefined : decoded;
}

function shown(part: string): string {
  return JSON.stringify(part.slice(0, 40));
}

function isDryRun(query: string): boolean {
  return new URLSearchParams(query).getAll("dryRun").includes("All");
}
