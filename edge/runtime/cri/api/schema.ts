import type { Root, Type } from "protobufjs";
import apiText from "./api.proto.txt" with { type: "text" };
import type { CriAnswer, CriMethod, CriRequest } from "./messages.ts";

export interface MethodCodec<M extends CriMethod> {
  /** As in the request of HTTP/2. */
  readonly path: string;
  readonly encode: (request: CriRequest<M>) => Buffer;
  readonly decode: (bytes: Uint8Array) => CriAnswer<M>;
}

/** How messages of the CRI are written and read. */
export interface Schema {
  method<M extends CriMethod>(name: M): MethodCodec<M>;
}

const packageName = "runtime.v1";
/** What is not in a message has its default, so that only messages can be missing. */
const asObjects = { longs: Number, enums: String, defaults: true, arrays: true, objects: true } as const;

/** Loads protobufjs. */
export async function loadSchema(): Promise<Schema> {
  const { parse } = await import("protobufjs");
  const { root } = parse(apiText);
  return { method: (name) => codecOf(root, name) };
}

function codecOf<M extends CriMethod>(root: Root, name: M): MethodCodec<M> {
  const isOfImages = name.includes("Image");
  const service = root.lookupService(`${packageName}.${isOfImages ? "ImageService" : "RuntimeService"}`);
  const method = service.methods[name];
  const [request, answer] = [method?.requestType, method?.responseType].map((type) => typeOf(root, type));
  if (!request || !answer) throw new Error(`api.proto.txt has no method ${name}`);
  return {
    path: `/${packageName}.${service.name}/${name}`,
    encode: (message) => Buffer.from(request.encode(request.fromObject(message)).finish()),
    // `messages.ts` has the fields of that file.
    decode: (bytes) => answer.toObject(answer.decode(bytes), asObjects) as CriAnswer<M>,
  };
}

function typeOf(root: Root, name: string | undefined): Type | undefined {
  return name === undefined ? undefined : root.lookupType(`${packageName}.${name}`);
}
