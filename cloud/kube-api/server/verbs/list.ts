import {
  answerList,
  askedRevision,
  checkListOptions,
  readContinue,
  readLimit,
  writeContinue,
  type Representation,
  type TokenScope,
} from "#cloud/kube-api/http";
import { selectConverted } from "#cloud/kube-api/custom-resources/conversion";
import { resourceOf } from "#cloud/kube-api/objects";
import { everything, type Selection } from "#cloud/kube-api/selection";
import type { StoredKey } from "#cloud/kube-api/store";
import type { JsonObject } from "#shared/json";
import {
  prefixOf,
  readSelection,
  selectedForm,
  readWanted,
  select,
  type ResourceParts,
  type ResourceRequest,
} from "./resource-request.ts";

/** A page of a collection at one revision, which is pinned while the client reads. @throws Refusal (Expired, BadRequest) */
export async function listObjects(parts: ResourceParts, asked: ResourceRequest): Promise<Response> {
  const { store } = parts;
  const { query } = asked;
  checkListOptions(query);
  const scope = { resource: resourceOf(asked.kind), prefix: prefixOf(asked) };
  const kept = { oldest: store.oldestOf(scope.resource), newest: store.revision };
  const place = readContinue(query.get("continue"), scope, kept);
  const revision = place?.revision ?? askedRevision(query, kept) ?? store.revision;
  const pin = store.pin(revision);
  const done = (): void => pin[Symbol.dispose]();
  try {
    return await listPinned(parts, asked, { scope, revision, after: place?.after ?? "", done });
  } catch (error) {
    pin[Symbol.dispose]();
    throw error;
  }
}

/** Where a list starts; `done` releases the pinned revision. */
interface ListStart {
  readonly scope: TokenScope;
  readonly revision: number;
  readonly after: string;
  readonly done: () => void;
}

async function listPinned(
  parts: ResourceParts,
  asked: ResourceRequest,
  { scope, revision, after, done }: ListStart,
): Promise<Response> {
  const { kind, query } = asked;
  const { store } = parts;
  const wanted = readWanted(asked);
  const selection = readSelection(asked);
  const all = store.listAt(revision, scope.resource, scope.prefix, after);
  if (parts.conversions.concern(kind))
    return listConverted(parts, asked, { scope, revision, after, done }, { all, selection, wanted });
  const selected = await select(store, kind, all, selection);
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
  const read = (from: number, to: number): (string | undefined)[] =>
    store.texts(revisions.subarray(from, to));
  const { open } = asked;
  return answerList(
    kind,
    { count: revisions.length, read },
    { wanted, nowMs: parts.clock.nowMs(), metadata, open, done },
  );
}

/** The same where a webhook converts: the whole page before the first byte, so that a failure is answered as one. */
async function listConverted(
  parts: ResourceParts,
  { kind, query, open }: ResourceRequest,
  { scope, revision, done }: ListStart,
  {
    all,
    selection,
    wanted,
  }: {
    readonly all: readonly StoredKey[];
    readonly selection: Selection;
    readonly wanted: Representation;
  },
): Promise<Response> {
  const { store, conversions, clock } = parts;
  const limit = readLimit(query.get("limit") ?? "");
  const counted = selection === everything;
  const read = (one: StoredKey): string | undefined => store.text(one.revision);
  // One more tells whether there are more.
  const most = limit === 0 ? 0 : limit + Number(!counted);
  const selected = await selectConverted(conversions, kind, {
    all,
    read,
    selection,
    most,
    parse: selectedForm(kind, selection),
  });
  const page = limit > 0 ? selected.found.slice(0, limit) : selected.found;
  const rest = counted ? all.length - page.length : selected.found.length - page.length;
  const metadata = pageMetadata(scope, revision, { rest, last: page.at(-1)?.key ?? "", counted });
  const end = (): void => {
    selected[Symbol.dispose]();
    done();
  };
  const items = { count: page.length, read: (from: number) => [page[from]?.text] };
  return answerList(kind, items, { wanted, nowMs: clock.nowMs(), metadata, open, done: end });
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
