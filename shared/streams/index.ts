/** Byte streams on the link between cloudcore and a node, and HTTP over them. */
export { encodeBlock, longestBlock, readBlock, readBlocks } from "./block.ts";
export type { ByteStream, StreamClosed, StreamHead } from "./byte-stream.ts";
export { StreamChannel, type StreamChannelOptions } from "./channel.ts";
export { openLocalStream } from "./local-stream.ts";
export { endToEndFields, endToEndHeaders, fetchOver, serveOver, type RequestHead } from "./http.ts";
