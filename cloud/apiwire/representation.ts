import { apiVersionOf, tableCells, tableColumns, type JsonObject, type KindInfo } from "#cloud/apikinds";
import { refusals } from "#cloud/apirules";

export type Form = "object" | "table" | "partial";

/** How a client wants its answer. */
export interface Wanted {
  readonly form: Form;
  readonly yaml: boolean;
  /** What a table row carries: `Metadata` unless told. */
  readonly include: "None" | "Metadata" | "Object";
}

const accepted = ["application/json", "application/yaml"];
const partialVersion = "meta.k8s.io/v1";

/** @throws Refusal (NotAcceptable) when nothing of the Accept header can be served. */
export function readAccept(
  accept: string | null,
  include: string | null,
  kind: KindInfo | undefined,
): Wanted {
  const rows = include === "None" || include === "Object" ? include : "Metadata";
  for (const range of (accept ?? "*/*").split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
    const form = formOf(parameters, kind);
    if (form === undefined) continue;
    if (type === "application/yaml") return { form, yaml: true, include: rows };
    if (["application/json", "application/*", "*/*", ""].includes(type))
      return { form, yaml: false, include: rows };
  }
  throw refusals.notAcceptable(accepted);
}

/** Undefined: a form that is not served (an unknown one, or a table of what has no columns). */
function formOf(parameters: readonly string[], kind: KindInfo | undefined): Form | undefined {
  const values = new Map(parameters.map((part) => part.split("=", 2) as [string, string]));
  const as = values.get("as");
  if (as === undefined) return "object";
  if (values.get("g") !== "meta.k8s.io" || values.get("v") !== "v1" || kind === undefined) return undefined;
  if (as === "Table") return kind.stored ? "table" : undefined;
  return as === "PartialObjectMetadata" || as === "PartialObjectMetadataList" ? "partial" : undefined;
}

export function partialOf(object: JsonObject): JsonObject {
  return { kind: "PartialObjectMetadata", apiVersion: partialVersion, metadata: object["metadata"] ?? {} };
}

/** A table of the rows given; a watch leaves the columns out after its first event. */
export function tableOf(
  kind: KindInfo,
  objects: readonly JsonObject[],
  options: { wanted: Wanted; nowMs: number; metadata: JsonObject; columns: boolean },
): JsonObject {
  const { include } = options.wanted;
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.metadata,
    columnDefinitions: options.columns
      ? (structuredClone(tableColumns(kind)) as unknown as JsonObject[])
      : [],
    rows: objects.map((object) => ({
      cells: tableCells(kind, object, options.nowMs),
      ...(include === "Object" && { object: object }),
      ...(include === "Metadata" && { object: partialOf(object) }),
      ...(include === "None" && { object: null }),
    })),
  };
}

/** The JSON of an object as one version of its kind shows it. */
export function textAs(kind: KindInfo, text: string): string {
  if (!kind.custom) return text;
  const object = JSON.parse(text) as JsonObject;
  const apiVersion = apiVersionOf(kind);
  return object["apiVersion"] === apiVersion ? text : JSON.stringify({ ...object, apiVersion });
}

/** Answers with one object, in the form asked for. */
export function answerObject(
  kind: KindInfo,
  text: string,
  options: { wanted: Wanted; nowMs: number; status: number },
): Response {
  const { wanted, nowMs, status } = options;
  const own = textAs(kind, text);
  if (wanted.form === "object") return answerText(own, wanted.yaml, status);
  const object = JSON.parse(own) as JsonObject;
  if (wanted.form === "partial") return answerText(JSON.stringify(partialOf(object)), wanted.yaml, status);
  const { resourceVersion = "" } = (object["metadata"] ?? {}) as JsonObject;
  const metadata = { resourceVersion };
  const table = tableOf(kind, [object], { wanted, nowMs, metadata, columns: true });
  return answerText(JSON.stringify(table), wanted.yaml, status);
}

export function answerText(json: string, yaml: boolean, status: number): Response {
  const headers = {
    "Content-Type": yaml ? "application/yaml" : "application/json",
    "Cache-Control": "no-cache, private",
  };
  return new Response(yaml ? Bun.YAML.stringify(JSON.parse(json), null, 2) : json, { status, headers });
}

const chunkItems = 250;

/**
 * Answers with a list. Plain lists go out in pieces, each read when the client took the one before,
 * so that a large list costs little memory. `done` is called once, however it ends.
 */
export function answerList(
  kind: KindInfo,
  items: { readonly count: number; read(index: number): string | undefined },
  options: { wanted: Wanted; nowMs: number; metadata: JsonObject; done: () => void },
): Response {
  const { wanted, metadata, nowMs, done } = options;
  if (wanted.form === "table") {
    const objects = readAll(items).map((text) => JSON.parse(text) as JsonObject);
    done();
    const table = tableOf(kind, objects, { wanted, nowMs, metadata, columns: true });
    return answerText(JSON.stringify(table), wanted.yaml, 200);
  }
  const partial = wanted.form === "partial";
  const head = partial
    ? `{"kind":"PartialObjectMetadataList","apiVersion":"${partialVersion}"`
    : `{"kind":"${kind.listKind}","apiVersion":"${apiVersionOf(kind)}"`;
  const start = `${head},"metadata":${JSON.stringify(metadata)},"items":[`;
  const show = (text: string): string =>
    partial ? JSON.stringify(partialOf(JSON.parse(text) as JsonObject)) : textAs(kind, text);
  if (items.count <= chunkItems || wanted.yaml) {
    const body = `${start}${readAll(items).map(show).join(",")}]}`;
    done();
    return answerText(body, wanted.yaml, 200);
  }
  return new Response(streamItems(items, { start, show, done }), {
    headers: { "Content-Type": "application/json", "Cache-Control": "no-cache, private" },
  });
}

function streamItems(
  items: { readonly count: number; read(index: number): string | undefined },
  options: { start: string; show: (text: string) => string; done: () => void },
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next = 0;
  let separator = options.start;
  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        const parts: string[] = [];
        for (const end = Math.min(items.count, next + chunkItems); next < end; next += 1) {
          const text = items.read(next);
          if (text === undefined) continue;
          parts.push(separator, options.show(text));
          separator = ",";
        }
        const last = next >= items.count;
        if (last) parts.push(separator === "," ? "]}" : `${separator}]}`);
        controller.enqueue(encoder.encode(parts.join("")));
        if (!last) return;
        controller.close();
        options.done();
      },
      cancel: () => options.done(),
    },
    { highWaterMark: 1 },
  );
}

function readAll(items: { readonly count: number; read(index: number): string | undefined }): string[] {
  const texts: string[] = [];
  for (let index = 0; index < items.count; index += 1) {
    const text = items.read(index);
    if (text !== undefined) texts.push(text);
  }
  return texts;
}
