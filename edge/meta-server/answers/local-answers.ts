import type { Clock } from "#shared/clock";
import { findKind, isNodeVersion, type HeldKind, type NodeObjects } from "#edge/meta-server/objects";
import { answerDiscovery, type OpenApiDocuments } from "./discovery.ts";
import { answerList, type CollectionRequest } from "./list.ts";
import { RequestRefusal, refuse } from "./refusal.ts";
import { formOf, objectText } from "./representation.ts";
import { parseSelection, selectedName } from "./selection.ts";
import { parseTarget, type ResourceAccess, type Target } from "./target.ts";
import { NodeWatch } from "./watch.ts";

export interface LocalRequest {
  readonly url: URL;
  readonly accept: string | null;
  /** @throws RequestRefusal for what the caller may not read */
  readonly authorize: (access: ResourceAccess) => void;
  /** Whether a watch of the caller may go on: looked at when pods change and each minute. */
  readonly mayStay: () => boolean;
  /** Whether its watches end when the cloud can answer again. */
  readonly endsOnline: boolean;
}

export interface LocalAnswerOptions {
  readonly objects: NodeObjects;
  readonly documents: OpenApiDocuments;
  readonly clock: Clock;
  readonly mostWatches?: number;
}

/** Half an hour to an hour unless the client says, as kube-apiserver (--min-request-timeout). */
const leastWatchMs = 1_800_000;
/** What a timer takes. */
const longestWatchMs = 2 ** 31 - 1;
/** Programs on one node. */
const mostWatches = 1024;
const checkMs = 60_000;

interface OpenWatch {
  readonly watch: NodeWatch;
  readonly request: LocalRequest;
}

/** Gets, lists and watches what the node has. */
export class LocalAnswers implements Disposable {
  readonly #options: LocalAnswerOptions;
  readonly #watches = new Map<symbol, OpenWatch>();
  readonly #owned = new DisposableStack();

  constructor(options: LocalAnswerOptions) {
    this.#options = options;
    this.#owned.use(options.clock.every(checkMs, () => this.#dismiss()));
    this.#owned.use(
      options.objects.follow(({ kind }) => {
        if (kind.type === "pod") this.#dismiss();
      }),
    );
  }

  get watches(): number {
    return this.#watches.size;
  }

  /** @throws RequestRefusal */
  answer(request: LocalRequest): Response {
    const { url, accept } = request;
    const about = answerDiscovery(url.pathname, accept, this.#options.documents);
    if (about) return about;
    const target = parseTarget(url.pathname);
    if (!target) throw refuse.notFound("the server could not find the requested resource");
    const kind = findKind(target.group, target.version, target.plural);
    if (target.name !== undefined && !isWatch(url)) return this.#get(request, target, kind);
    return this.#collection(request, target, kind);
  }

  /** The cloud answers again: clients whose requests it answers list there. */
  online(): void {
    for (const { watch, request } of this.#watches.values())
      if (request.endsOnline) watch.expire("the cloud answers again; list again");
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
    for (const { watch } of this.#watches.values()) watch.end();
  }

  #get({ accept, authorize }: LocalRequest, target: Target, kind: HeldKind | undefined): Response {
    const { group, plural: resource, namespace = "", name = "", subresource } = target;
    const about = subresource === undefined ? resource : `${resource}/${subresource}`;
    authorize({ verb: "get", group, resource: about, namespace, name });
    const what = group === "" ? resource : `${resource}.${group}`;
    if (!kind || subresource !== undefined)
      throw refuse.unavailable(`${what} are not kept on this node, and the cloud cannot be reached from it`);
    const object = this.#options.objects.find(kind, namespace, name);
    if (!object) throw refuse.notFound(`${what} ${JSON.stringify(name)} not found on this node`);
    const text = objectText(formOf(accept), kind, object, { nowMs: this.#options.clock.nowMs() });
    return new Response(`${text}\n`, { headers: { "Content-Type": "application/json" } });
  }

  #collection(request: LocalRequest, target: Target, kind: HeldKind | undefined): Response {
    const { url, accept, authorize } = request;
    const { searchParams: query } = url;
    const { objects, clock } = this.#options;
    const { group, plural: resource, namespace } = target;
    const isWatching = isWatch(url);
    const selection = kind && parseSelection(kind, query);
    const name = target.name ?? (selection && selectedName(selection)) ?? "";
    authorize({
      verb: isWatching ? "watch" : "list",
      group,
      resource,
      namespace: namespace ?? "",
      name,
    });
    if (!kind || !selection || target.subresource !== undefined)
      throw refuse.unavailable(
        `${resource} are not kept on this node, and the cloud cannot be reached from it`,
      );
    const collection: CollectionRequest = { kind, namespace, selection, form: formOf(accept) };
    if (isWatching) return this.#watch(request, named(collection, target.name));
    refuseOther(query);
    return answerList(objects, collection, clock.nowMs());
  }

  #watch(request: LocalRequest, collection: CollectionRequest): Response {
    const { objects, clock, mostWatches: most = mostWatches } = this.#options;
    const { searchParams: query } = request.url;
    if (this.#watches.size >= most)
      throw new RequestRefusal({
        code: 429,
        reason: "TooManyRequests",
        message: `there are ${most} watches on this node, try again later`,
        retryAfterSeconds: 1,
      });
    const version = query.get("resourceVersion") ?? "";
    const fresh = version === "" || version === "0" || query.get("sendInitialEvents") === "true";
    const after = fresh ? undefined : objects.changeAt(version);
    if (version !== "" && version !== "0" && objects.changeAt(version) === undefined)
      throw refuse.expired(version);
    const id = Symbol("watch");
    const watch = new NodeWatch(
      objects,
      {
        ...collection,
        after,
        bookmarks: query.get("allowWatchBookmarks") === "true",
        initialEnd: query.get("sendInitialEvents") === "true",
        timeoutMs: timeoutOf(query, clock),
      },
      { clock, onEnd: () => void this.#watches.delete(id) },
    );
    if (!watch.ended) this.#watches.set(id, { watch, request });
    return watch.response;
  }

  #dismiss(): void {
    for (const { watch, request } of this.#watches.values()) if (!request.mayStay()) watch.end();
  }
}

function isWatch({ searchParams }: URL): boolean {
  return ["true", "1"].includes(searchParams.get("watch") ?? "");
}

function named(collection: CollectionRequest, name: string | undefined): CollectionRequest {
  if (name === undefined) return collection;
  const { labels, fields } = collection.selection;
  const field = { path: "metadata.name", equal: true, value: name };
  return { ...collection, selection: { labels, fields: [...fields, field] } };
}

/** Versions and pages of the cloud mean nothing here. */
function refuseOther(query: URLSearchParams): void {
  const version = query.get("resourceVersion") ?? "";
  if (version !== "" && version !== "0" && !isNodeVersion(version)) throw refuse.expired(version);
  const page = query.get("continue") ?? "";
  if (page !== "") throw refuse.expired(page.slice(0, 100));
}

function timeoutOf(query: URLSearchParams, clock: Clock): number {
  const seconds = Number(query.get("timeoutSeconds") ?? "0");
  const ms = seconds > 0 ? seconds * 1000 : leastWatchMs * (1 + clock.random());
  return Math.min(ms, longestWatchMs);
}
