import { AppError, UnavailableError, asError } from "#shared/errors";
import { recordOf } from "#shared/json";
import type { RuntimeCode } from "#edge/runtime";

const unreachableCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "EPIPE",
  "ERR_STREAM_PREMATURE_CLOSE",
  "EACCES",
  "ETIMEDOUT",
  "ConnectionRefused",
  "ConnectionClosed",
  "FailedToOpenSocket",
]);

/** What dockerode threw, as one of our classes: the engine cannot be reached, or it refuses, and why. `what` completes "Cannot …". */
export function toRuntimeError(what: string, thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  const status = recordOf(thrown)["statusCode"];
  const reason = readReason(thrown);
  const text = `Cannot ${what}: ${reason}`;
  if (typeof status !== "number") {
    const code = String(recordOf(thrown)["code"]);
    const isUnreachable = unreachableCodes.has(code) || /socket|connect/i.test(reason);
    return isUnreachable
      ? new UnavailableError("engine-away", `Cannot ${what}: the container engine does not answer`, {
          cause: thrown,
        })
      : new AppError("engine-refused" satisfies RuntimeCode, text, { cause: thrown });
  }
  return new AppError(codeOf(status, reason), text, { cause: thrown });
}

/** The HTTP status of what dockerode threw; undefined when there was no answer. */
export function statusOf(thrown: unknown): number | undefined {
  const status = recordOf(thrown)["statusCode"];
  return typeof status === "number" ? status : undefined;
}

/** The engine's own sentence, without dockerode's "(HTTP code …)" around it. */
export function readReason(thrown: unknown): string {
  const body = recordOf(thrown)["json"];
  const message = recordOf(body)["message"];
  return typeof message === "string"
    ? message.trim()
    : asError(thrown)
        .message.replace(/^\(HTTP code \d+\) [^-]* - /, "")
        .trim();
}

function codeOf(status: number, reason: string): RuntimeCode {
  if (status === 404 && /no such image|not found: manifest|image/i.test(reason)) return "image-not-found";
  if (status === 404) return "container-not-found";
  return status === 409 ? "container-conflict" : "engine-refused";
}
