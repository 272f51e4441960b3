import type { NodeRequest, NodeResource, NodeVerb } from "#shared/topics";
import { noNamespace, parseResource, type WireMessage } from "#shared/wire";

/** How the answer to a request looks: the object itself, object and error side by side, or "OK". */
export type AnswerForm = "object-resp" | "ok" | "raw";

interface ServedRequest {
  readonly resource: NodeResource;
  readonly verb: NodeVerb;
  readonly form: AnswerForm;
  /** Whether the header of the answer has the version of the object. */
  readonly isVersioned: boolean;
}

function served(resource: NodeResource, verb: NodeVerb, form: AnswerForm, isVersioned = true): ServedRequest {
  return { resource, verb, form, isVersioned };
}

/**
 * By `<type> <operation>`, as metamanager's client of KubeEdge's edged sends them (edge/pkg/metamanager/client). `nodestatus`
 * and `podstatus` are of nodes before KubeEdge 1.12; later ones patch.
 */
const servedRequests: ReadonlyMap<string, ServedRequest> = new Map([
  ["node insert", served("Node", "insert", "object-resp")],
  ["node query", served("Node", "query", "raw")],
  ["node update", served("Node", "update", "ok")],
  ["nodepatch patch", served("Node/status", "patch", "object-resp")],
  ["nodestatus insert", served("Node/status", "insert", "ok")],
  ["nodestatus update", served("Node/status", "update", "ok")],
  ["lease insert", served("Lease", "insert", "object-resp", false)],
  ["lease update", served("Lease", "update", "object-resp", false)],
  ["lease query", served("Lease", "query", "object-resp", false)],
  ["podpatch patch", served("Pod/status", "patch", "object-resp")],
  ["podstatus update", served("Pod/status", "update", "ok")],
  ["pod insert", served("Pod", "insert", "object-resp")],
  ["pod delete", served("Pod", "delete", "ok")],
  ["configmap query", served("ConfigMap", "query", "raw")],
  ["secret query", served("Secret", "query", "raw")],
  ["serviceaccounttoken query", served("ServiceAccount/token", "query", "raw", false)],
  ["devicedesired patch", served("Device/desired", "patch", "object-resp")],
  ["event insert", served("Event", "insert", "ok")],
  ["event update", served("Event", "update", "ok")],
  ["event patch", served("Event", "patch", "ok")],
  ["persistentvolumeclaim query", served("PersistentVolumeClaim", "query", "raw")],
  ["persistentvolume query", served("PersistentVolume", "query", "raw")],
  ["volumeattachment query", served("VolumeAttachment", "query", "raw")],
]);

export type ReadRequest =
  | { readonly ok: true; readonly request: NodeRequest; readonly served: ServedRequest }
  | { readonly ok: false; readonly problem: string; readonly form: AnswerForm };

/** Reads a request of `node` whose resource has no `node/<id>/` prefix. */
export function readRequest(node: string, { route, content }: WireMessage): ReadRequest {
  const { operation = "", resource = "" } = route;
  const path = parseResource(resource);
  const found = path && servedRequests.get(`${path.type} ${operation}`);
  const quoted = JSON.stringify(resource);
  if (!path || !found)
    return {
      ok: false,
      problem: `cannot ${operation} ${quoted}: the cloud does not know this`,
      form: "raw",
    };
  if (!isSegment(path.namespace) || (path.name !== "" && !isSegment(path.name)))
    return { ok: false, problem: `${quoted} does not name an object`, form: found.form };
  const namespace = path.namespace === noNamespace ? "" : path.namespace;
  const { verb, resource: asked } = found;
  return {
    ok: true,
    request: { node, verb, resource: asked, namespace, name: path.name, content },
    served: found,
  };
}

/** One part of a path in a URL of the API; dots alone would lead elsewhere. */
function isSegment(text: string): boolean {
  return text.length <= 253 && !/^\.{1,2}$|[/%\s]/.test(text);
}
