import { AppError } from "#shared/errors";

/** What this node does not do for a pod; `code` is the reason shown in the waiting state. */
export class SecurityError extends AppError {}

/** Without a reason of kubelet's own. */
export function unserved(message: string): SecurityError {
  return new SecurityError("CreateContainerConfigError", message);
}

/** A field nobody here knows is refused: it may be one that protects. */
export function refuseUnknown(
  what: string,
  given: Readonly<Record<string, unknown>> | undefined,
  known: readonly string[],
): void {
  for (const [field, value] of Object.entries(given ?? {}))
    if (value !== undefined && value !== null && !known.includes(field))
      throw unserved(`${what}.${field} is not supported on this node`);
}
