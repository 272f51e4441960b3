import { pieceBytes, sourceOf, type OpenStream, type ByteSource } from "#cloud/kube-api/flow-control";
import { shownText, tableCells, tableColumns, type KindInfo } from "#cloud/kube-api/kinds";
import { parseObject } from "#cloud/kube-api/schema";
import { refusals } from "#cloud/kube-api/status";
import { metadataOf, type JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";

/** `partials` is a list of what is `partial` alone. */
export type Form = "object" | "table" | "partial" | "partials";

/** The form that a client accepts. */
export interface Representation {
  readonly form: Form;
  readonly yaml: boolean;
  /** What a table row carries (`includeObject`): `Metadata` by default. */
  readonly include: "None" | "Metadata" | "Object";
}

const accepted = ["application/json", "application/yaml"];
const jsonTypes = ["application/json", "application/*", "*/*", ""];
const noTable = "Unable to convert to Table as requested: includeObject: Invalid value: ";
const includes = "must be 'Metadata', 'Object', 'None', or empty";
const partialVersion = "meta.k8s.io/v1";

/** @throws Refusal (NotAcceptable) when nothing of the Accept header can be served. */
export function readAccept(
  accept: string | null,
  include: string | null,
  kind: KindInfo | undefined,
): Representation {
  const rows = include === "None" || include === "Object" ? include : "Metadata";
  const isKnown = include === null || ["", "Metadata", rows].includes(include);
  for (const range of (accept ?? "*/*").split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
    const form = formOf(parameters, kind);
    const yaml = type === "application/yaml";
    if (form === undefined || (!yaml && !jsonTypes.includes(type))) continue;
    if (form === "table" && !isKnown)
      throw refusals.badRequest(`${noTable}${JSON.stringify(include)}: ${includes}`);
    return { form, yaml, include: rows };
  }
  throw refusals.notAcceptable(accepted);
}

/** Undefined: a form that is not served (an unknown one, or a table of what has no columns). */
function formOf(parameters: readonly string[], kind: KindInfo | undefined): Form | undefined {
  const values = new Map<string | undefined, string | undefined>(
    parameters.map((part) => [part.split("=", 2)[0], part.split("=", 2)[1]]),
  );
  const as = values.get("as");
  if (as === undefined) return "object";
  if (values.get("g") !== "meta.k8s.io" || values.get("v") !== "v1" || kind === undefined) return undefined;
  if (as === "Table") return kind.stored ? "table" : undefined;
  return partialForms.get(as);
}

const partialForms: ReadonlyMap<string, Form> = new Map([
  ["PartialObjectMetadata", "partial"],
  ["PartialObjectMetadataList", "partials"],
]);

/** @throws Refusal (NotAcceptable) when metadata of a list are wanted of an object, or the other way round */
export function checkPartial({ form }: Representation, kind: KindInfo, isList: boolean): void {
  if (form !== (isList ? "partial" : "partials")) return;
  const [wanted, found] = isList
    ? ["PartialObjectMetadata", `a list (${kind.listKind})`]
    : ["PartialObjectMetadataList", `not a list (${kind.kind})`];
  throw refusals.notAcceptableForm(`you requested ${wanted}, but the requested object is ${found}`);
}

/** The object as PartialObjectMetadata. */
export function partialOf(object: JsonObject): JsonObject {
  return { kind: "PartialObjectMetadata", apiVersion: partialVersion, metadata: object["metadata"] ?? {} };
}

/** A table of the rows given; a watch leaves the columns out after its first event. */
export function tableOf(
  kind: KindInfo,
  objects: readonly JsonObject[],
  options: { wanted: Representation; nowMs: number; metadata: JsonObject; columns: boolean },
): JsonObject {
  const { include } = options.wanted;
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.metadata,
    columnDefinitions: options.columns ? tableColumns(kind).map((column) => ({ ...column })) : [],
    rows: objects.map((object) => rowOf(kind, object, { include, nowMs: options.nowMs })),
  };
}

function rowOf(
  kind: KindInfo,
  object: JsonObject,
  { include, nowMs }: { readonly include: Representation["include"]; readonly nowMs: number },
): JsonObject {
  const shown = { None: null, Object: object, Metadata: partialOf(object) }[include];
  return { cells: tableCells(kind, object, nowMs), object: shown };
}

export interface AnswerOptions {
  readonly wanted: Representation;
  readonly nowMs: number;
  /** Streams a large answer at the pace of its reader. */
  readonly open: OpenStream;
}

/** Answers with one object, in the accepted form. */
export function answerWithObject(
  kind: KindInfo,
  text: string,
  options: AnswerOptions & { readonly status: number },
): Response {
  const { wanted, nowMs, status, open } = options;
  const shown = shownText(kind, text);
  const answer = (json: string): Response => answerText(json, wanted.yaml, status, open);
  if (wanted.form === "object") return answer(shown);
  const object = parseObject(shown);
  if (wanted.form !== "table") return answer(JSON.stringify(partialOf(object)));
  const { resourceVersion = "" } = metadataOf(object);
  const metadata = { resourceVersion };
  return answer(JSON.stringify(tableOf(kind, [object], { wanted, nowMs, metadata, columns: true })));
}

/** Answers with JSON, as YAML if so wanted. @param open streams it when it is large; without it, it is known to be small */
export function answerText(json: string, yaml: boolean, status: number, open?: OpenStream): Response {
  const text = yaml ? Bun.YAML.stringify(JSON.parse(json), null, 2) : json;
  const headers = headersOf(yaml);
  if (!open || text.length <= pieceBytes) return new Response(text, { status, headers });
  const how = { what: "one answer", mostMs: longestAnswerMs, sourceBytes: text.length };
  return new Response(open(sourceOf(text), how).readable, { status, headers });
}

function headersOf(yaml: boolean): Record<string, string> {
  return {
    "Content-Type": yaml ? "application/yaml" : "application/json",
    "Cache-Control": "no-cache, private",
  };
}

/** Lists of up to this many items are tried in one piece (64 KiB) first. */
const smallList = 250;
/** While a list is sent the store keeps all revisions it needs, so that no reader may take forever. */
const longestAnswerMs = 300_000;

export interface ListItems {
  readonly count: number;
  /** @returns the texts from one index to before another, or fewer, but one at least; undefined for what is gone */
  read(from: number, to: number): readonly (string | undefined)[];
}

/**
 * Answers with a list in pieces of bounded size, each made when the client has taken the one before: a large list takes little
 * memory in any form. `done` is called once, however it ends.
 */
export function answerList(
  kind: KindInfo,
  items: ListItems,
  options: AnswerOptions & { readonly metadata: JsonObject; readonly done: () => void },
): Response {
  const { wanted, open, done } = options;
  const form = listForm(kind, options);
  const headers = headersOf(wanted.yaml);
  const first = new ListPieces(items, form);
  const text = items.count <= smallList ? first.next() : "";
  if (first.ended) {
    done();
    return new Response(text, { headers });
  }
  // What did not fit is made again: a text that is kept would not count in the pool.
  const { readable } = open(listSource(new ListPieces(items, form), done), {
    what: `list ${kind.plural}`,
    mostMs: longestAnswerMs,
  });
  return new Response(readable, { headers });
}

function listSource(pieces: ListPieces, ended: () => void): ByteSource {
  const encoder = new TextEncoder();
  return { next: () => (pieces.ended ? undefined : encoder.encode(pieces.next())), ended };
}

/** How a list is written: `start`, items with `separator` between them, `end`; `empty` when there are none. */
interface ListForm {
  readonly start: string;
  readonly separator: string;
  readonly end: string;
  readonly empty: string;
  readonly show: (text: string) => string;
}

/** The texts of a list one after the other, each about as large as a piece. */
class ListPieces {
  readonly #items: ListItems;
  readonly #form: ListForm;
  #next = 0;
  #shown = 0;
  /** Characters of an item, by those before it. */
  #expected = pieceBytes;
  ended = false;

  constructor(items: ListItems, form: ListForm) {
    this.#items = items;
    this.#form = form;
  }

  next(): string {
    const { start, separator, end: last, empty, show } = this.#form;
    const parts: string[] = [];
    let size = 0;
    while (this.#next < this.#items.count && size < pieceBytes) {
      const fitting = Math.ceil((pieceBytes - size) / this.#expected);
      const end = Math.min(this.#items.count, this.#next + fitting);
      for (const text of this.#items.read(this.#next, end)) {
        this.#next += 1;
        if (text === undefined) continue;
        const shown = show(text);
        parts.push(this.#shown === 0 ? start : separator, shown);
        this.#shown += 1;
        size += shown.length;
        this.#expected = Math.max(1, (this.#expected + shown.length) / 2);
        // What was read beyond a piece is read again for the next one: it must not be kept for as long as the client reads.
        if (size >= pieceBytes) break;
      }
    }
    this.ended = this.#next >= this.#items.count;
    if (this.ended) parts.push(this.#shown === 0 ? empty : last);
    return parts.join("");
  }
}

function listForm(
  kind: KindInfo,
  options: Omit<AnswerOptions, "open"> & { readonly metadata: JsonObject },
): ListForm {
  const { wanted, metadata, nowMs } = options;
  if (wanted.form === "table") {
    const { rows: _none, ...head } = tableOf(kind, [], { wanted, nowMs, metadata, columns: true });
    const { include } = wanted;
    return writtenAs({ yaml: wanted.yaml, head, items: "rows" }, (text) =>
      JSON.stringify(rowOf(kind, parseObject(shownText(kind, text)), { include, nowMs })),
    );
  }
  const partial = wanted.form !== "object";
  const head = partial
    ? { kind: "PartialObjectMetadataList", apiVersion: partialVersion, metadata }
    : { kind: kind.listKind, apiVersion: apiVersionOf(kind), metadata };
  return writtenAs({ yaml: wanted.yaml, head, items: "items" }, (text) =>
    partial ? JSON.stringify(partialOf(parseObject(text))) : shownText(kind, text),
  );
}

function writtenAs(
  { yaml, head, items }: { readonly yaml: boolean; readonly head: JsonObject; readonly items: string },
  json: (text: string) => string,
): ListForm {
  if (yaml) {
    const start = `${Bun.YAML.stringify(head, null, 2)}\n${items}:`;
    const show = (text: string): string => Bun.YAML.stringify([JSON.parse(json(text))], null, 2);
    return { start: `${start}\n`, separator: "\n", end: "\n", empty: `${start} []\n`, show };
  }
  const start = `${JSON.stringify(head).slice(0, -1)},"${items}":[`;
  return { start, separator: ",", end: "]}", empty: `${start}]}`, show: json };
}
