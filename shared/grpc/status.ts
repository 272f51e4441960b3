/** Those status codes of gRPC that mean something here. */
export const grpcCodes = {
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** What a server answers instead of a message, and with code "unavailable" that it does not answer. */
export class GrpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
    this.name = "GrpcError";
  }
}

/** The status code of what gRPC threw; undefined for anything else. */
export function grpcCodeOf(thrown: unknown): number | undefined {
  return thrown instanceof GrpcError ? thrown.code : undefined;
}
