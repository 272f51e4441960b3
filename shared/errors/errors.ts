/**
 * The errors of the project, split by who has to act.
 * Callers compare `code` or the class, never the text.
 */
export class AppError extends Error {
  /** Stable, kebab-case name of the condition, e.g. `"image-not-found"`. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** The operator has to change a file, a flag or the machine. */
export class ConfigError extends AppError {}

/** The peer sent something it must not send. */
export class ProtocolError extends AppError {}

/** A peer, an engine or a link is away: trying again later may work. */
export class UnavailableError extends AppError {}

/** The thing asked is being or was disposed: stop quietly. */
export class ClosedError extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super("closed", message, options);
  }
}

/** An invariant of ours does not hold. */
export class BugError extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super("bug", message, options);
  }
}

/** Any thrown value as an Error; a non-error becomes the `cause`. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/** The `code` of a thrown error, such as "ENOENT" of a system call; undefined when it has none that is a text. */
export function errorCodeOf(thrown: unknown): string | undefined {
  const code = typeof thrown === "object" && thrown !== null && "code" in thrown ? thrown.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** One line for a log field: the message and the messages of its causes, but for those that it repeats. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  for (let link: unknown = thrown; link !== undefined && parts.length < 5; link = asError(link).cause) {
    const { message } = asError(link);
    if (!parts.some((part) => part.includes(message))) parts.push(message);
    if (!(link instanceof Error)) break;
  }
  return parts.join(": ");
}
