import type { User } from "#cloud/kube-api/auth";
import type { Json, JsonObject, KindInfo, UpdateVia } from "#cloud/kube-api/kinds";
import { undecodable, Refusal, refusals } from "#cloud/kube-api/status";
import {
  everything,
  parseFieldSelector,
  requireLabelSelector,
  selectAmong,
  type Selection,
} from "#cloud/kube-api/selection";
import { patchTypeOf, textOf } from "#cloud/kube-api/patch";
import { isObject } from "#cloud/kube-api/schema";
import {
  answerList,
  answerObject,
  answerText,
  isTrue,
  readAccept,
  type RequestTarget,
  contentTypeOf,
  readBody,
  exactRevision,
  readContinue,
  readDeleteOptions,
  readLimit,
  readRevision,
  readWriteOptions,
  writeContinue,
  type TokenScope,
} from "#cloud/kube-api/http";
import type { RevisionStore, StoredKey } from "#cloud/kube-api/store";
import type { OpenStream, SharedLines } from "#cloud/kube-api/flow-control";
import type { Clock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import { note } from "#shared/lifecycle";
import { asText, isObject } from "#shared/json";
import { review, type ReviewParts } from "./reviews.ts";
import {
  bindPod,
  createToken,
  evictPod,
  finalizeNamespace,
  readScale,
  subresourceOf,
  writeScale,
  type SubresourceParts,
} from "./subresources.ts";
import { answerWatch } from "./watch-stream.ts";
import {
  type DeleteOptions,
  resourceOf,
  type ObjectService,
  type ObjectTarget,
  type WriteGuard,
  type WriteOptions,
  type Written,
} from "#cloud/kube-api/objects";

export interface ResourceParts {
  readonly store: RevisionStore;
  readonly objects: ObjectService;
  readonly subresources: SubresourceParts;
  readonly reviews: ReviewParts;
  readonly clock: Clock;
  readonly sharedLines: SharedLines;
}

/** A request about a served kind, authenticated and authorized. */
export interface ResourceRequest {
  readonly request: Request;
  readonly query: URLSearchParams;
  readonly verb: string;
  readonly kind: KindInfo;
  readonly target: RequestTarget;
  readonly user: User;
  readonly guard: WriteGuard;
  readonly warnings: string[];
  /** How a large answer goes out. */
  readonly open: OpenStream;
}

/** Answers a request about a kind. @throws Refusal */
export async function answerResource(parts: ResourceParts, from: ResourceRequest): Promise<Response> {
  const { kind, target, verb } = from;
  if (target.subresource !== "") return answerSubresource(parts, from);
  if (!kind.verbs.includes(verb)) throw refusals.methodNotAllowed();
  if (!kind.stored) return answerReview(parts, from);
  await parts.store.settled();
  note(verb, kind.plural);
  switch (verb) {
    case "get":
      return answerGet(parts, from);
    case "list":
      return list(parts, from);
    case "watch":
      return watch(parts, from);
    case "deletecollection":
      return deleteCollection(parts, from);
    default:
      return answerWrite(parts, from);
  }
}

function answerGet(parts: ResourceParts, from: ResourceRequest): Response {
  const text = parts.store.get(resourceOf(from.kind), `${from.target.namespace}/${from.target.name}`);
  if (text === undefined) throw refusals.notFound(from.kind, from.target.name);
  return show(parts, from, { text, status: 200 });
}

async function answerWrite(parts: ResourceParts, from: ResourceRequest): Promise<Response> {
  const { verb, kind } = from;
  const target = objectTarget(from);
  const whole = verb === "create";
  if (whole !== (target.name === "") || (kind.namespaced && target.namespace === "")) {
    throw refusals.methodNotAllowed();
  }
  if (whole) {
    return showWritten(
      parts,
      from,
      await parts.objects.create(target, await readWritten(parts, from), writeOptions(from)),
    );
  }
  if (verb === "delete") return answerDelete(parts, from, target);
  return showWritten(parts, from, await change(parts, from, ""));
}

/** A body to be stored: fields given twice are refused, told or ignored as the request asks for. */
async function readWritten(parts: ResourceParts, from: ResourceRequest): Promise<Json> {
  const { kind, request, warnings } = from;
  const { validation } = writeOptions(from);
  if (validation === "Ignore") return readBody(request, parts);
  return readBody(request, {
    clock: parts.clock,
    onDuplicates: (fields) => {
      const texts = fields.map((field) => `duplicate field ${JSON.stringify(field)}`);
      if (validation === "Warn") warnings.push(...texts);
      else throw new Refusal(undecodable(kind, `strict decoding error: ${texts.join(", ")}`));
    },
  });
}

async function change(parts: ResourceParts, from: ResourceRequest, via: UpdateVia): Promise<Written> {
  const target = objectTarget(from);
  const type = from.verb === "patch" ? patchTypeOf(from.kind, contentTypeOf(from.request)) : undefined;
  const body = await readWritten(parts, from);
  const options = { ...writeOptions(from), via };
  if (type === undefined) return parts.objects.update(target, body, options);
  if (type === "apply" && !from.query.has("fieldManager")) {
    throw refusals.badRequest(
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  }
  return parts.objects.patch(target, { type, body }, options);
}

/** A deletion answers with the object, or with Success when a kind that is not watched over by nodes is gone. */
async function answerDelete(
  parts: ResourceParts,
  from: ResourceRequest,
  target: ObjectTarget,
): Promise<Response> {
  const written = await parts.objects.delete(target, await readDeleteOptions(from, parts.clock));
  if (!written.gone || answersWithObject.has(resourceOf(from.kind))) {
    return show(parts, from, { text: written.text, status: 200 });
  }
  const { metadata } = JSON.parse(written.text) as KubeObject;
  const { group, plural } = from.kind;
  const details = {
    name: from.target.name,
    ...(group !== "" && { group }),
    kind: plural,
    uid: metadata.uid ?? "",
  };
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
  return answerText(JSON.stringify(status), readWanted(from).yaml, 200);
}

const answersWithObject = new Set([
  "/pods",
  "/services",
  "/namespaces",
  "/persistentvolumes",
  "/persistentvolumeclaims",
  "/serviceaccounts",
]);

async function answerReview(parts: ResourceParts, from: ResourceRequest): Promise<Response> {
  const body = await readBody(from.request, parts);
  if (!isObject(body)) throw refusals.badRequest("the body is not an object");
  if (from.kind.kind === "Binding") {
    const name = isObject(body["metadata"]) ? asText(body["metadata"]["name"]) : "";
    return bind(parts, { ...from, target: { ...from.target, resource: "pods", name } }, body);
  }
  const answer = review(parts.reviews, from.kind, body, {
    user: from.user,
    namespace: from.target.namespace,
  });
  return answerText(JSON.stringify(answer), readWanted(from).yaml, 201, from.open);
}

async function answerSubresource(parts: ResourceParts, from: ResourceRequest): Promise<Response> {
  const { kind, target, verb } = from;
  const sub = subresourceOf(kind, target.subresource);
  if (!sub) throw refusals.unknownResource();
  if (!sub.verbs.includes(verb)) throw refusals.methodNotAllowed();
  await parts.store.settled();
  const object = objectTarget(from);
  const yaml = readWanted(from).yaml;
  const answer = (body: JsonObject, status: number): Response =>
    answerText(JSON.stringify(body), yaml, status, from.open);
  switch (target.subresource) {
    case "status":
      return verb === "get"
        ? answerGet(parts, from)
        : showWritten(parts, from, await change(parts, from, "status"));
    case "scale":
      return answer(verb === "get" ? readScale(parts.subresources, object) : await scale(parts, from), 200);
    case "finalize":
      return answer(
        await finalizeNamespace(
          parts.subresources,
          object,
          await readBody(from.request, parts),
          writeOptions(from),
        ),
        200,
      );
    case "binding":
      return bind(parts, from, await readBody(from.request, parts));
    case "eviction":
      return answer(await evictPod(parts.subresources, object, await readBody(from.request, parts)), 201);
    case "token":
      return answer(createToken(parts.subresources, object, await readBody(from.request, parts)), 201);
    default:
      throw refusals.serviceUnavailable(`the server does not serve ${kind.plural}/${target.subresource} yet`);
  }
}

async function scale(parts: ResourceParts, from: ResourceRequest): Promise<JsonObject> {
  const type = from.verb === "patch" ? patchTypeOf(from.kind, contentTypeOf(from.request)) : "update";
  const body = await readBody(from.request, parts);
  return writeScale(parts.subresources, objectTarget(from), { type, body }, writeOptions(from));
}

async function bind(parts: ResourceParts, from: ResourceRequest, body: Json): Promise<Response> {
  const target = { kind: podKind, namespace: from.target.namespace, name: from.target.name };
  const answer = await bindPod(parts.subresources, target, body, writeOptions(from));
  return answerText(JSON.stringify(answer), false, 201);
}

const podKind = { group: "", version: "v1", kind: "Pod", plural: "pods" } as KindInfo;

async function list(parts: ResourceParts, from: ResourceRequest): Promise<Response> {
  const { store } = parts;
  const { query } = from;
  const scope = { resource: resourceOf(from.kind), prefix: prefixOf(from) };
  const kept = { oldest: store.compactedRevision, newest: store.revision };
  const place = readContinue(query.get("continue"), scope, kept);
  const revision = place?.revision ?? exactRevision(query, kept) ?? store.revision;
  const pin = store.pin(revision);
  const done = (): void => pin[Symbol.dispose]();
  try {
    return await listPinned(parts, from, { scope, revision, after: place?.after ?? "", done });
  } catch (error) {
    pin[Symbol.dispose]();
    throw error;
  }
}

/** Where a list starts; `done` lets go of the revision it is of. */
interface ListStart {
  readonly scope: TokenScope;
  readonly revision: number;
  readonly after: string;
  readonly done: () => void;
}

async function listPinned(
  parts: ResourceParts,
  from: ResourceRequest,
  { scope, revision, after, done }: ListStart,
): Promise<Response> {
  const { kind, query } = from;
  const { store } = parts;
  const wanted = readWanted(from);
  const selection = readSelection(from);
  const all = store.listAt(revision, scope.resource, scope.prefix, after);
  const selected = await select(store, all, selection);
  const limit = readLimit(query.get("limit") ?? "");
  const page = limit > 0 && selected.length > limit ? selected.slice(0, limit) : selected;
  const counted = selection === everything;
  const metadata = pageMetadata(scope, revision, {
    rest: selected.length - page.length,
    last: page.at(-1)?.key ?? "",
    counted,
  });
  // Kept for as long as the client reads: no more than it takes to find the texts.
  const revisions = Float64Array.from(page, (stored) => stored.revision);
  const read = (index: number): string | undefined => store.text(revisions[index] ?? 0);
  const { open } = from;
  return answerList(
    kind,
    { count: revisions.length, read },
    { wanted, nowMs: parts.clock.nowMs(), metadata, open, done },
  );
}

function pageMetadata(
  scope: TokenScope,
  revision: number,
  page: { readonly rest: number; readonly last: string; readonly counted: boolean },
): JsonObject {
  const metadata = { resourceVersion: String(revision) };
  if (page.rest === 0) return metadata;
  const token = writeContinue(scope, { revision, after: page.last });
  return { ...metadata, continue: token, ...(page.counted && { remainingItemCount: page.rest }) };
}

function select(store: RevisionStore, all: StoredKey[], selection: Selection): Promise<StoredKey[]> {
  return selectAmong(all, selection, ({ revision }) => store.text(revision));
}

function watch(parts: ResourceParts, from: ResourceRequest): Response {
  const { kind, query, user } = from;
  const initial = isTrue(query.get("sendInitialEvents") ?? "false");
  const asked = query.get("resourceVersion") ?? "";
  const options = {
    kind,
    resource: resourceOf(kind),
    prefix: prefixOf(from),
    selection: watchSelection(from),
    wanted: readWanted(from),
    from: initial || asked === "" || asked === "0" ? undefined : readRevision(asked),
    bookmarks: isTrue(query.get("allowWatchBookmarks") ?? "false"),
    initialEnd: initial,
    timeoutSeconds: Number(query.get("timeoutSeconds") ?? 0),
    expiresMs: user.expiresMs,
  };
  return answerWatch(parts, options, from.open);
}

/** A watch of one object selects it by its name. */
function watchSelection(from: ResourceRequest): Selection {
  const selection = readSelection(from);
  const { name } = from.target;
  if (name === "") return selection;
  return { ...selection, fields: [...selection.fields, { path: "metadata.name", equal: true, value: name }] };
}

async function deleteCollection(parts: ResourceParts, from: ResourceRequest): Promise<Response> {
  const { kind } = from;
  const options = await readDeleteOptions(from, parts.clock);
  const { store } = parts;
  const selection = readSelection(from);
  const pin = store.pin();
  const found = await select(store, store.list(resourceOf(kind), prefixOf(from)), selection).finally(() =>
    pin[Symbol.dispose](),
  );
  const results: Written[] = [];
  for (let start = 0; start < found.length; start += deletedATurn) {
    const some = found.slice(start, start + deletedATurn);
    // oxlint-disable-next-line no-await-in-loop -- ten thousand at once would keep everybody waiting
    const written = await Promise.all(some.map(({ key }) => deleteOne(parts, kind, { key, options })));
    results.push(...written.filter((one) => one !== undefined));
  }
  const metadata = { resourceVersion: String(parts.store.revision) };
  const { open } = from;
  const shown = {
    wanted: readWanted(from),
    nowMs: parts.clock.nowMs(),
    metadata,
    open,
    done: () => undefined,
  };
  return answerList(kind, { count: results.length, read: (index) => results[index]?.text }, shown);
}

const deletedATurn = 100;

/** One of a collection; another may have deleted it meanwhile. */
async function deleteOne(
  parts: ResourceParts,
  kind: KindInfo,
  { key, options }: { readonly key: string; readonly options: DeleteOptions },
): Promise<Written | undefined> {
  const [namespace = "", name = ""] = key.split("/", 2);
  if (parts.store.find(resourceOf(kind), key) === undefined) return undefined;
  return parts.objects.delete({ kind, namespace, name }, options);
}

function readSelection(from: ResourceRequest): Selection {
  const labelText = from.query.get("labelSelector") ?? "";
  const fieldText = from.query.get("fieldSelector") ?? "";
  if (labelText === "" && fieldText === "") return everything;
  const labels = requireLabelSelector(labelText);
  return { labels, fields: parseFieldSelector(from.kind, fieldText, labelText) };
}

function readWanted(from: ResourceRequest): ReturnType<typeof readAccept> {
  return readAccept(from.request.headers.get("accept"), from.query.get("includeObject"), from.kind);
}

function show(
  parts: ResourceParts,
  from: ResourceRequest,
  answer: { text: string; status: number },
): Response {
  const { open } = from;
  const options = { wanted: readWanted(from), nowMs: parts.clock.nowMs(), status: answer.status, open };
  return answerObject(from.kind, answer.text, options);
}

function showWritten(parts: ResourceParts, from: ResourceRequest, written: Written): Response {
  return show(parts, from, { text: written.text, status: written.created ? 201 : 200 });
}

function objectTarget(from: ResourceRequest): ObjectTarget {
  return { kind: from.kind, namespace: from.target.namespace, name: from.target.name };
}

function prefixOf(from: ResourceRequest): string {
  return from.target.namespace === "" ? "" : `${from.target.namespace}/`;
}

function writeOptions(from: ResourceRequest): WriteOptions {
  const { query, warnings } = from;
  return {
    ...readWriteOptions(from),
    force: isTrue(query.get("force") ?? "false"),
    warn: (text) => void warnings.push(text),
    guard: from.guard,
  };
}
