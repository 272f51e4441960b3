/**
 * A resource beside the stored kinds that something else answers. The API server decides who may ask, by RBAC as for any other
 * resource, before it hears of the question; it is not in discovery, since nothing can be listed, watched or kept of it.
 */
export interface ExtraResource {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  /** "" for the resource itself */
  readonly subresource: string;
  readonly namespaced: boolean;
  /** What a GET is to RBAC: `get` of something named, `list` of the whole. */
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
