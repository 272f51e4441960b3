/** A name has at most 253 characters, and each label one. */
const mostLabels = 127;

/**
 * The node that a request of kube-apiserver is about, where it says so: its proxy of nodes names it in `X-Forwarded-Uri`, and
 * a node whose address is a name (`edge-1.nodes.example`) in the host. All nodes share one address otherwise.
 */
export function nodeOfRequest(headers: Headers, isNode: (name: string) => boolean): string | undefined {
  const uri = headers.get("x-forwarded-uri") ?? "";
  const named = /^\/api\/v1\/nodes\/(?:https?:)?([^/:?]+)(?::[^/?]*)?\/proxy(?:[/?]|$)/.exec(uri)?.[1];
  if (named !== undefined) return named;
  const host = (headers.get("host") ?? "").replace(/:\d+$/, "");
  const labels = host.split(".").slice(0, mostLabels);
  for (let length = labels.length; length > 0; length -= 1) {
    const name = labels.slice(0, length).join(".");
    if (isNode(name)) return name;
  }
  return undefined;
}
