import { AppError } from "#shared/errors";
import { failureResponse, type FailureOptions } from "#shared/kube";

/** A request that is answered with a Status. */
export class RequestRefusal extends AppError {
  readonly #failure: FailureOptions;

  constructor(failure: FailureOptions) {
    super("request-refused", failure.message);
    this.#failure = failure;
  }

  response(): Response {
    return failureResponse(this.#failure);
  }
}

export const refuse = {
  badRequest: (message: string) => new RequestRefusal({ code: 400, reason: "BadRequest", message }),
  unauthorized: (why: string) =>
    new RequestRefusal({ code: 401, reason: "Unauthorized", message: `Unauthorized: ${why}` }),
  forbidden: (message: string) => new RequestRefusal({ code: 403, reason: "Forbidden", message }),
  notFound: (message: string) => new RequestRefusal({ code: 404, reason: "NotFound", message }),
  conflict: (message: string) => new RequestRefusal({ code: 409, reason: "Conflict", message }),
  invalid: (message: string) => new RequestRefusal({ code: 422, reason: "Invalid", message }),
  tooLarge: (message: string) => new RequestRefusal({ code: 413, reason: "RequestEntityTooLarge", message }),
  unsupportedType: (accepted: readonly string[]) =>
    new RequestRefusal({
      code: 415,
      reason: "UnsupportedMediaType",
      message: `the node takes only the following content types: ${accepted.join(", ")}`,
    }),
  notAcceptable: () =>
    new RequestRefusal({
      code: 406,
      reason: "NotAcceptable",
      message: "only the following media types are accepted: application/json",
    }),
  expired: (version: string) =>
    new RequestRefusal({
      code: 410,
      reason: "Expired",
      message: `The resourceVersion ${JSON.stringify(version)} is not of what answers now; list again`,
    }),
  /** Without Retry-After: kubectl and client-go would try again ten times before they show why. */
  unavailable: (message: string) => new RequestRefusal({ code: 503, reason: "ServiceUnavailable", message }),
};
