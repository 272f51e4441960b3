/** gRPC over HTTP/2 on unix sockets, and protobuf by a definition in text. */
export { GrpcClient } from "./client.ts";
export { decodeMessage } from "./decode.ts";
export { readDefinition, type Definition, type Message, type Method } from "./definition.ts";
export { encodeMessage } from "./encode.ts";
export { GrpcServer, type GrpcMethod } from "./server.ts";
export { grpcCodeOf, grpcCodes, GrpcError } from "./status.ts";
