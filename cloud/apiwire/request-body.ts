import type { Json } from "#cloud/apischema";
import { isObject, refusals } from "#cloud/apirules";
import { decodeProtobuf } from "./protobuf.ts";

const bodyLimit = 3 * 1024 * 1024;
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
    if (!(error instanceof SyntaxError)) throw error;
    throw refusals.badRequest(`couldn't get version/kind; json parse error: ${error.message}`);
  }
}
