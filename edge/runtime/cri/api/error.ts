import { AppError, UnavailableError, asError } from "#shared/errors";
import { grpcCodeOf, grpcCodes } from "#shared/grpc";
import type { RuntimeCode } from "#edge/runtime";

/** What gRPC threw, as one of our classes: the engine cannot be reached, or it refuses, and why. `what` completes "Cannot …". */
export function toRuntimeError(what: string, thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const code = grpcCodeOf(thrown);
  const reason = readReason(thrown);
  if (code === grpcCodes.unavailable || code === grpcCodes.cancelled)
    return new UnavailableError("engine-away", `Cannot ${what}: the container engine does not answer`, {
      cause: thrown,
    });
  if (code === grpcCodes.deadlineExceeded)
    return new UnavailableError("timeout", `Cannot ${what}: no answer in time`, { cause: thrown });
  return new AppError(codeOf(code, reason), `Cannot ${what}: ${reason}`, { cause: thrown });
}

/** The engine's own sentence. */
export function readReason(thrown: unknown): string {
  const text = asError(thrown).message;
  if (/unknown service runtime\.v1\.(Runtime|Image)Service/.test(text))
    return 'the engine does not serve CRI v1: is "cri" among disabled_plugins of its configuration?';
  return text.trim();
}

/** containerd has no code of its own for a name that is taken; CRI-O neither. */
function codeOf(code: number | undefined, reason: string): RuntimeCode {
  if (code === grpcCodes.alreadyExists || /is reserved for|name is reserved|already in use/.test(reason))
    return "container-conflict";
  // CRI-O has no code for an image that it does not have.
  if (/\bimage not known$/.test(reason)) return "image-not-found";
  if (code !== grpcCodes.notFound) return "engine-refused";
  return /image|manifest/i.test(reason) ? "image-not-found" : "container-not-found";
}
