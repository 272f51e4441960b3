import { createHash } from "node:crypto";
import { pieceBytes, type ByteSource, type OpenStream } from "#cloud/kube-api/flow-control";
import type { KindInfo } from "#cloud/kube-api/kinds";
import type { KindRegistry, ServedVersion } from "#cloud/kube-api/objects";
import {
  gnosticHead,
  gnosticPart,
  openApiDocument,
  swaggerParts,
  type SwaggerPart,
} from "#cloud/kube-api/schema/openapi";
import type { JsonObject } from "#shared/json";
import { apiVersionOf } from "#shared/kube";

/** `/openapi/v3`: where the documents of the group versions are. */
export function openApiIndex(registry: KindRegistry): JsonObject {
  const paths = registry.versions().map((served) => {
    const path = openApiPath(served);
    const names = served.kinds.map((kind) => `${kind.plural}${schemaHash(kind)}`);
    const hash = createHash("sha256").update(names.join(",")).digest("hex").slice(0, 32);
    return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
  });
  // The types of Object.fromEntries do not follow pairs that were made by map.
  return { paths: Object.fromEntries(paths) as JsonObject };
}

const schemaHashes = new WeakMap<JsonObject, string>();

/** kubectl requests the index often; a schema may be a megabyte and does not change. */
function schemaHash({ custom }: KindInfo): string {
  if (!custom) return "";
  const known = schemaHashes.get(custom.schema);
  if (known !== undefined) return known;
  const hash = createHash("sha256").update(JSON.stringify(custom.schema)).digest("hex");
  schemaHashes.set(custom.schema, hash);
  return hash;
}

/** The OpenAPI v3 document of `/openapi/v3/<path>`, undefined when it is not served. */
export function documentAt(registry: KindRegistry, path: string): JsonObject | undefined {
  const served = registry.versions().find((version) => openApiPath(version) === path);
  return served && openApiDocument(apiVersionOf(served), served.kinds);
}

function openApiPath(served: ServedVersion): string {
  return served.group === "" ? `api/${served.version}` : `apis/${served.group}/${served.version}`;
}

const gnosticType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const asksGnostic = /proto-openapi\.spec\.v2[.@]v1\.0\+protobuf/;
/** Some seconds of a slow link for a document of megabytes. */
const longestAnswerMs = 300_000;

/**
 * `/openapi/v2`: all kinds in one Swagger document, as JSON or protobuf. It is made while it is sent and not kept; clients
 * that name its ETag get 304, so that it is made once for each change of a definition and client.
 */
export function answerSwagger(
  registry: KindRegistry,
  request: Request,
  { version, open }: { readonly version: string; readonly open: OpenStream },
): Response {
  const gnostic = asksGnostic.test(request.headers.get("accept") ?? "");
  const etag = `"${documentHash(registry.versions())}${gnostic ? "P" : "J"}"`;
  const headers = {
    "Content-Type": gnostic ? gnosticType : "application/json",
    ETag: etag,
    Vary: "Accept",
    "Cache-Control": "no-cache, private",
  };
  if (request.headers.get("if-none-match") === etag) return new Response(undefined, { status: 304, headers });
  const kinds = registry.versions().flatMap((served) => served.kinds);
  const info = { title: "Kubernetes", version };
  const parts = gnostic ? gnosticBytes(kinds, info) : swaggerText(kinds, info);
  const { readable } = open(sourceOfParts(parts), { what: "OpenAPI", mostMs: longestAnswerMs });
  return new Response(readable, { headers });
}

function documentHash(versions: readonly ServedVersion[]): string {
  const names = versions.flatMap((served) =>
    served.kinds.map((kind) => `${apiVersionOf(served)}/${kind.plural}${schemaHash(kind)}`),
  );
  return createHash("sha256").update(names.join(",")).digest("hex").slice(0, 32).toUpperCase();
}

interface Info {
  readonly title: string;
  readonly version: string;
}

function* gnosticBytes(kinds: readonly KindInfo[], info: Info): Generator<Uint8Array> {
  yield gnosticHead(info);
  for (const part of swaggerParts(kinds)) yield gnosticPart(part);
}

function* swaggerText(kinds: readonly KindInfo[], info: Info): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  yield encoder.encode(`{"swagger":"2.0","info":${JSON.stringify(info)},"paths":{`);
  let before: SwaggerPart | undefined;
  for (const part of swaggerParts(kinds)) {
    const separator = before === undefined ? "" : before.of === part.of ? "," : `},"${part.of}":{`;
    before = part;
    yield encoder.encode(`${separator}${JSON.stringify(part.name)}:${JSON.stringify(part.value)}`);
  }
  yield encoder.encode("}}");
}

/** Parts joined to pieces of some size, made when they are read. */
function sourceOfParts(parts: Generator<Uint8Array>): ByteSource {
  return {
    next: () => {
      const piece: Uint8Array[] = [];
      for (let size = 0; size < pieceBytes;) {
        const { value, done } = parts.next();
        if (done === true) break;
        piece.push(value);
        size += value.length;
      }
      return piece.length === 0 ? undefined : Buffer.concat(piece);
    },
    ended: () => void parts.return(undefined),
  };
}
