import { userInfo, type User } from "#cloud/kube-api/auth";
import type { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import type { FanOut, OpenStream } from "#cloud/kube-api/flow-control";
import {
  answerWithObject,
  checkPartial,
  isTrue,
  readAccept,
  readBody,
  readWriteOptions,
  type RequestTarget,
} from "#cloud/kube-api/http";
import type { ObjectService, ObjectTarget, WriteGuard, WriteOptions, Written } from "#cloud/kube-api/objects";
import { shownObject } from "#cloud/kube-api/kinds";
import { parseKubeObject, toKubeObject, type KindInfo } from "#cloud/kube-api/schema";
import {
  everything,
  needsShown,
  parseFieldSelector,
  requireLabelSelector,
  selectAmong,
  type Selection,
} from "#cloud/kube-api/selection";
import type { RevisionStore, StoredKey } from "#cloud/kube-api/store";
import type { Clock } from "#shared/clock";
import type { Json } from "#shared/json";
import { apiVersionOf, type KubeObject } from "#shared/kube";
import type { ReviewParts } from "./reviews.ts";
import type { SubresourceParts } from "./subresources.ts";

export interface ResourceParts {
  readonly store: RevisionStore;
  readonly objects: ObjectService;
  readonly conversions: Conversions;
  readonly subresources: SubresourceParts;
  readonly reviews: ReviewParts;
  readonly clock: Clock;
  readonly fanOut: FanOut;
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
  /** Streams a large answer. */
  readonly open: OpenStream;
}

/** The object of a request; its name is empty for a collection. */
export function objectTarget(asked: ResourceRequest): ObjectTarget {
  return { kind: asked.kind, namespace: asked.target.namespace, name: asked.target.name };
}

/** The prefix of keys in the store: `<namespace>/`, or empty for all namespaces. */
export function prefixOf(asked: ResourceRequest): string {
  return asked.target.namespace === "" ? "" : `${asked.target.namespace}/`;
}

/** Query parameters of a write, with the guard and the warnings of the request. @throws Refusal (BadRequest) */
export function writeOptions(asked: ResourceRequest): WriteOptions {
  const { query, warnings } = asked;
  return {
    ...readWriteOptions(asked),
    force: isTrue(query.get("force") ?? "false"),
    warn: (text) => void warnings.push(text),
    guard: asked.guard,
    author: userInfo(asked.user),
  };
}

/** @throws Refusal (BadRequest) on a selector that is not well formed or not supported */
export function readSelection(asked: ResourceRequest): Selection {
  const labelText = asked.query.get("labelSelector") ?? "";
  const fieldText = asked.query.get("fieldSelector") ?? "";
  if (labelText === "" && fieldText === "") return everything;
  const labels = requireLabelSelector(labelText);
  return { labels, fields: parseFieldSelector(asked.kind, fieldText, labelText) };
}

/** Makes of a stored text the object that a selection is about. */
export function selectedForm(kind: KindInfo, selection: Selection): (text: string) => KubeObject {
  return needsShown(selection) ? (text) => toKubeObject(shownObject(kind, text)) : parseKubeObject;
}

/** Filters keys of a pinned revision. */
export function select(
  store: RevisionStore,
  kind: KindInfo,
  all: StoredKey[],
  selection: Selection,
): Promise<StoredKey[]> {
  const read = ({ revision }: StoredKey): string | undefined => store.text(revision);
  return selectAmong(all, selection, read, selectedForm(kind, selection));
}

/** The form of the answer. @throws Refusal (NotAcceptable) */
export function readWanted(asked: ResourceRequest): ReturnType<typeof readAccept> {
  const { kind, query, request, verb } = asked;
  const wanted = readAccept(request.headers.get("accept"), query.get("includeObject"), kind);
  if (verb === "list" || verb === "get") checkPartial(wanted, kind, verb === "list");
  return wanted;
}

/** A body to be stored, and the options it is written with. @throws Refusal */
export async function readWritten(
  parts: ResourceParts,
  asked: ResourceRequest,
): Promise<{ readonly body: Json; readonly options: WriteOptions }> {
  const duplicates: string[] = [];
  const options = { ...writeOptions(asked), duplicates };
  const body = await readBody(asked.request, {
    clock: parts.clock,
    type: { apiVersion: apiVersionOf(asked.kind), kind: asked.kind.kind },
    ...(options.validation !== "Ignore" && { onDuplicates: (texts) => void duplicates.push(...texts) }),
  });
  return { body, options };
}

/** Answers with the text of an object in the accepted form. */
export async function show(
  parts: ResourceParts,
  asked: ResourceRequest,
  answer: { text: string; status: number },
): Promise<Response> {
  const { open, kind } = asked;
  const options = { wanted: readWanted(asked), nowMs: parts.clock.nowMs(), status: answer.status, open };
  return answerWithObject(kind, await parts.conversions.text(kind, answer.text), options);
}

/** Answers with a written object: 201 when it was created, else 200. */
export function showWritten(
  parts: ResourceParts,
  asked: ResourceRequest,
  written: Written,
): Promise<Response> {
  return show(parts, asked, { text: written.text, status: written.created ? 201 : 200 });
}
