/**
 * Answers at the pace of their readers. What a reader has not taken is bounded for each connection (a piece or two) and in
 * all (`StreamPool`); a reader that takes nothing is cut; requests under way are bounded as by kube-apiserver.
 */
export { flowControlObjects } from "./default-objects.ts";
export { startLevelReferences } from "./level-references.ts";
export { StreamPool, type StreamReader, type StreamPoolOptions } from "./stream-pool.ts";
export {
  pieceBytes,
  sourceOf,
  type OpenStream,
  type PacedStream,
  type ByteSource,
  type StreamOptions,
} from "./paced-stream.ts";
export { InFlight, type RequestFlow } from "./in-flight.ts";
export { FanOut } from "./fan-out.ts";
export { closesConnection, withinLimits, type LimitParts, type ServedBy } from "./request-limits.ts";
