import type { Json } from "#cloud/apischema";
import { isObject, refusals } from "#cloud/apirules";
import { decodeProtobuf } from "./protobuf.ts";

const bodyLimit = 3 * 1024 * 1024;
/** Deeper nesting than any object has; what handles objects goes through them recursively. */
const depthLimit = 512;
const protobufType = "application/vnd.kubernetes.protobuf";

export function contentTypeOf(request: Request): string {
  return request.headers.get("content-type") ?? "application/json";
}

/** The body in JSON, YAML or protobuf; null for an empty one that may be missing. @throws Refusal */
export async function readBody(
  request: Request,
  options: { readonly optional?: boolean } = {},
): Promise<Json> {
  const bytes = await request.bytes();
  if (bytes.length > bodyLimit) throw refusals.tooLarge(bodyLimit);
  const type = contentTypeOf(request).split(";")[0]?.trim().toLowerCase() ?? "";
  if (bytes.length === 0) {
    if (options.optional === true) return null;
    throw refusals.badRequest("unable to decode an object: the body of the request is empty");
  }
  const body = type === protobufType ? decodeProtobuf(bytes) : parse(new TextDecoder().decode(bytes), type);
  if (isDeeperThan(body, depthLimit))
    throw refusals.badRequest(`the body is nested deeper than ${depthLimit}`);
  if (options.optional !== true && request.method !== "PATCH") checkNamed(body);
  return body;
}

function checkNamed(body: Json): void {
  if (!isObject(body) || (body["kind"] ?? "") !== "") return;
  throw refusals.badRequest(`Object 'Kind' is missing in '${JSON.stringify(body).slice(0, 200)}'`);
}

function parse(text: string, type: string): Json {
  try {
    return (type.includes("yaml") ? Bun.YAML.parse(text) : JSON.parse(text)) as Json;
  } catch (error) {
    // The parsers recurse: a RangeError says that the nesting is deeper than they can go.
    if (error instanceof RangeError) throw refusals.badRequest("the body is nested too deep");
    if (!(error instanceof SyntaxError)) throw error;
    throw refusals.badRequest(`couldn't get version/kind; json parse error: ${error.message}`);
  }
}

/** Goes level by level, not recursively. */
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
