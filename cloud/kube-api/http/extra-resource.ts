/**
 * A resource beside the stored kinds that another module answers, one for each verb. RBAC decides first, as for any other
 * resource. It is in discovery only where the catalog has a row for it.
 */
export interface ExtraResource {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  /** "" for the resource itself */
  readonly subresource: string;
  readonly namespaced: boolean;
  /** The RBAC verb of a GET: `get` of a named object, `list` of all. */
  readonly verb: "get" | "list";
  readonly answer: (request: ExtraRequest) => Promise<ExtraReply>;
}

export interface ExtraRequest {
  readonly namespace: string;
  readonly name: string;
  readonly query: URLSearchParams;
  readonly signal: AbortSignal;
}

export type ExtraReply =
  | { readonly ok: true; readonly body: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly code: number; readonly text: string };
