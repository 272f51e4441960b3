import {
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { parse } from "protobufjs";
import definitionText from "#internal/edge/runtime/cri/api/api.proto.txt" with { type: "text" };

/** Answers a call: with one message by `answer`, or with many on the call itself. */
export type CriHandler = (call: ServerWritableStream<object, object>, answer: sendUnaryData<object>) => void;

/** Starts a server of gRPC that has these methods of the CRI; others are unimplemented. @param path of its socket */
export async function serveCri(
  path: string,
  handlers: Readonly<Record<string, CriHandler>>,
): Promise<Server> {
  const { root } = parse(definitionText);
  const server = new Server({ "grpc.max_send_message_length": -1 });
  for (const service of ["RuntimeService", "ImageService"].map((name) =>
    root.lookupService(`runtime.v1.${name}`),
  )) {
    const definitions = service.methodsArray.map(({ name, requestType, responseType, responseStream }) => {
      const [request, response] = [requestType, responseType].map((type) =>
        root.lookupType(`runtime.v1.${type}`),
      );
      const definition = {
        path: `/runtime.v1.${service.name}/${name}`,
        requestStream: false,
        responseStream: responseStream === true,
        requestSerialize: (value: object) => Buffer.from(request?.encode(value).finish() ?? []),
        requestDeserialize: (bytes: Buffer) => request?.decode(bytes) ?? {},
        responseSerialize: (value: object) => Buffer.from(response?.encode(value).finish() ?? []),
        responseDeserialize: (bytes: Buffer) => response?.decode(bytes) ?? {},
      };
      return [name, definition] as const;
    });
    server.addService(Object.fromEntries(definitions), { ...handlers } as UntypedServiceImplementation);
  }
  const bound = Promise.withResolvers<void>();
  server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) =>
    error ? bound.reject(error) : bound.resolve(),
  );
  await bound.promise;
  return server;
}
