import { createHash } from "node:crypto";
import { createGzip, gunzipSync } from "node:zlib";
import { pieceBytes, type ByteSource, type OpenStream } from "#cloud/kube-api/flow-control";
import type { KindInfo } from "#cloud/kube-api/kinds";
import type { KindRegistry, ServedVersion } from "#cloud/kube-api/objects";
import { gnosticHead, gnosticPart, swaggerParts, type SwaggerPart } from "#cloud/kube-api/schema/openapi";
import { nextTurn } from "#shared/clock";
import { apiVersionOf } from "#shared/kube";
import { schemaHash } from "./openapi.ts";

const jsonType = "application/json";
const gnosticType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const asksGnostic = /proto-openapi\.spec\.v2[.@]v1\.0\+protobuf/;
/** Some seconds of a slow link for a document of megabytes. */
const longestAnswerMs = 300_000;

interface Document {
  readonly etag: string;
  /** It shrinks to a tenth and less: most of it is descriptions. */
  readonly gzip: Promise<Uint8Array>;
}

/**
 * `/openapi/v2`: all kinds in one Swagger document, as JSON or protobuf. Each form is made when it is first asked for, in turns
 * with other requests, and kept compressed until a definition changes. Clients that name its ETag get 304.
 */
export class Swagger {
  readonly #registry: KindRegistry;
  readonly #info: Info;
  readonly #documents = new Map<string, Document>();

  constructor(registry: KindRegistry, version: string) {
    this.#registry = registry;
    this.#info = { title: "Kubernetes", version };
  }

  async answer(request: Request, open: OpenStream): Promise<Response> {
    const type = asksGnostic.test(request.headers.get("accept") ?? "") ? gnosticType : jsonType;
    const { etag, gzip } = this.#document(type);
    const headers = {
      "Content-Type": type,
      ETag: etag,
      Vary: "Accept, Accept-Encoding",
      "Cache-Control": "no-cache, private",
    };
    if (request.headers.get("if-none-match") === etag)
      return new Response(undefined, { status: 304, headers });
    const packed = await gzip;
    const takesGzip = /\bgzip\b/.test(request.headers.get("accept-encoding") ?? "");
    const bytes = takesGzip ? packed : gunzipSync(packed);
    const how = { what: "OpenAPI", mostMs: longestAnswerMs, sourceBytes: takesGzip ? 0 : bytes.length };
    return new Response(open(sourceOfBytes(bytes), how).readable, {
      headers: { ...headers, ...(takesGzip && { "Content-Encoding": "gzip" }) },
    });
  }

  #document(type: string): Document {
    const versions = this.#registry.versions();
    const etag = `"${documentHash(versions)}${type === gnosticType ? "P" : "J"}"`;
    const known = this.#documents.get(type);
    if (known?.etag === etag) return known;
    const kinds = versions.flatMap((served) => served.kinds);
    const parts = type === gnosticType ? gnosticBytes(kinds, this.#info) : swaggerText(kinds, this.#info);
    const made = { etag, gzip: compressed(parts) };
    made.gzip.catch(() => this.#documents.delete(type));
    this.#documents.set(type, made);
    return made;
  }
}

async function compressed(parts: Generator<Uint8Array>): Promise<Uint8Array> {
  const gzip = createGzip();
  const chunks: Buffer[] = [];
  gzip.on("data", (chunk: Buffer) => chunks.push(chunk));
  const done = Promise.withResolvers<void>();
  gzip.once("end", done.resolve).once("error", done.reject);
  let size = 0;
  for (const part of parts) {
    gzip.write(part);
    size += part.length;
    if (size < pieceBytes) continue;
    size = 0;
    await nextTurn();
  }
  gzip.end();
  await done.promise;
  return Buffer.concat(chunks);
}

function sourceOfBytes(bytes: Uint8Array): ByteSource {
  let start = 0;
  return {
    next: () => {
      if (start >= bytes.length) return undefined;
      const piece = bytes.subarray(start, start + pieceBytes);
      start += pieceBytes;
      return piece;
    },
    ended: () => void (start = bytes.length),
  };
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
