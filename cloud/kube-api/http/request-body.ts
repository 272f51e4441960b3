import { refusals } from "#cloud/kube-api/status";
import type { Clock } from "#shared/clock";
import { isObject, setField, tryJson, type Json, type JsonObject } from "#shared/json";
import { note } from "#shared/lifecycle";
import { duplicateFields } from "./duplicate-fields.ts";
import { duplicateYamlKey } from "./duplicate-yaml-keys.ts";
import { decodeProtobuf, type TypeName } from "./protobuf.ts";

/** Bytes, as kube-apiserver (MaxRequestBodyBytes). */
const bodyLimit = 3 * 1024 * 1024;
/** kube-apiserver's --request-timeout */
const bodySeconds = 60;
/** The YAML parser takes microseconds a key; clients send large objects as JSON. */
const yamlLimit = 1024 * 1024;
/** Deeper than any object nests; the handlers of objects recurse. */
const depthLimit = 512;
const protobufType = "application/vnd.kubernetes.protobuf";
const served = ["application/json", "application/yaml", protobufType];

/** JSON by default. */
export function contentTypeOf(request: Request): string {
  return request.headers.get("content-type") ?? "application/json";
}

export interface BodyOptions {
  readonly clock: Pick<Clock, "after">;
  readonly optional?: boolean;
  /** What a protobuf body without a type is, as its path says; JSON is typed by who decodes it. */
  readonly type?: TypeName | undefined;
  /** Called with a text for each field that the body has more than once; the last one counts. */
  readonly onDuplicates?: (texts: readonly string[]) => void;
}

/** The body in JSON, YAML or protobuf; null for an empty one that may be missing. @throws Refusal */
export async function readBody(request: Request, options: BodyOptions): Promise<Json> {
  const bytes = await readBytes(request, options);
  note(request.method, new URL(request.url).pathname);
  const type = contentTypeOf(request).split(";")[0]?.trim().toLowerCase() ?? "";
  if (bytes.length === 0) {
    if (options.optional === true) return null;
    throw refusals.badRequest("unable to decode an object: the body of the request is empty");
  }
  if (request.method !== "PATCH" && type !== "" && !served.includes(type))
    throw refusals.unsupportedMediaType(served);
  const body = type === protobufType ? decodeProtobuf(bytes, options.type) : readText(bytes, type, options);
  if (isDeeperThan(body, depthLimit))
    throw refusals.badRequest(`the body is nested deeper than ${depthLimit}`);
  return body;
}

async function readBytes(request: Request, { clock }: BodyOptions): Promise<Uint8Array> {
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (encoding !== "identity" && encoding !== "") throw refusals.unsupportedMediaType(served);
  if (Number(request.headers.get("content-length") ?? 0) > bodyLimit) throw refusals.tooLarge(bodyLimit);
  const late = Promise.withResolvers<never>();
  using _limit = clock.after(bodySeconds * 1000, () => late.reject(refusals.requestTimeout(bodySeconds)));
  const bytes = await Promise.race([request.bytes(), late.promise]);
  if (bytes.length > bodyLimit) throw refusals.tooLarge(bodyLimit);
  return bytes;
}

function readText(bytes: Uint8Array, type: string, { onDuplicates }: BodyOptions): Json {
  const text = decodeText(bytes);
  const isYaml = type.includes("yaml");
  // Clients send JSON, which is YAML too, as the patch of an apply.
  const json = isYaml && /^\s*\{/.test(text.slice(0, 1000)) ? tryJson(text) : undefined;
  if (isYaml && json === undefined) return readYaml(text, onDuplicates);
  const body = json ?? parse(text, JSON.parse as (json: string) => Json);
  const duplicates = onDuplicates ? duplicateFields(text) : [];
  if (duplicates.length > 0)
    onDuplicates?.(duplicates.map((field) => `duplicate field ${JSON.stringify(field)}`));
  return halfPair.test(text) && !isDeeperThan(body, depthLimit) ? copyOf(body, { left: Infinity }, 0) : body;
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw refusals.badRequest("the body of the request is not valid UTF-8");
  }
}

function parse(text: string, read: (text: string) => Json): Json {
  try {
    return read(text);
  } catch (error) {
    // The parsers recurse: a RangeError means that the nesting is too deep for them.
    if (error instanceof RangeError) throw refusals.badRequest("the body is nested too deep");
    if (!(error instanceof SyntaxError)) throw error;
    throw refusals.badRequest(`couldn't get version/kind; json parse error: ${error.message}`);
  }
}

const anchor = /(?:^|[\s[{,:?-])&[^\s,[\]{}&]/;
const alias = /(?:^|[\s[{,:?-])\*[^\s,[\]{}]/g;
/** Aliases of a document times its length: each alias can merge a map as large as the document into another. */
const mostAliasWork = 4_000_000;
const excessiveAliasing = "error converting YAML to JSON: yaml: document contains excessive aliasing";

function readYaml(text: string, onDuplicates: BodyOptions["onDuplicates"]): Json {
  if (text.length > yamlLimit) throw refusals.tooLarge(yamlLimit);
  if (anchor.test(text) && countOf(alias, text) * text.length > mostAliasWork)
    throw refusals.badRequest(excessiveAliasing);
  const value = parse(text, Bun.YAML.parse as (yaml: string) => Json);
  const duplicate = onDuplicates && duplicateYamlKey(text);
  if (duplicate !== undefined) onDuplicates?.([duplicate]);
  return copyOf(value, { left: bodyLimit }, 0);
}

function countOf(expression: RegExp, text: string): number {
  let count = 0;
  for (const _match of text.matchAll(expression)) count += 1;
  return count;
}

/**
 * A copy that shares nothing: a value with a YAML alias would be changed twice by decoders that work in place. Its size is
 * bounded, since aliases of aliases grow exponentially.
 */
function copyOf(value: Json, room: { left: number }, depth: number): Json {
  room.left -= typeof value === "string" ? value.length + 4 : 4;
  if (room.left < 0) throw refusals.badRequest(excessiveAliasing);
  if (depth > depthLimit) throw refusals.badRequest(`the body is nested deeper than ${depthLimit}`);
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value === "number" && !Number.isFinite(value))
    throw refusals.badRequest(`error converting YAML to JSON: json: unsupported value: ${value}`);
  if (Array.isArray(value)) return value.map((item) => copyOf(item, room, depth + 1));
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const [key, item] of Object.entries(value)) {
    room.left -= key.length;
    setField(copy, key.toWellFormed(), copyOf(item, room, depth + 1));
  }
  return copy;
}

/** An escape of half a surrogate pair may be in the text: alone it stands for no character, Go reads U+FFFD. */
const halfPair = /\\u[dD][89abcdefABCDEF]/;

/** Level by level, not recursively. */
function isDeeperThan(body: Json, limit: number): boolean {
  let level: Json[] = [body];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > limit) return true;
    level = level.flatMap((value) =>
      typeof value === "object" && value !== null ? Object.values(value).filter(isNested) : [],
    );
  }
  return false;
}

function isNested(value: Json): boolean {
  return typeof value === "object" && value !== null;
}
