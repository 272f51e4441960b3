import type { IncomingMessage, ServerResponse } from "node:http";
import type { RequestPath, RestMatch } from "#cloud/router/rules";

/** A request of a user who may use the rule that it meets. */
export interface AcceptedRequest extends Disposable {
  readonly match: RestMatch;
  readonly path: RequestPath;
  /** that the message is for, one at least */
  readonly nodes: readonly string[];
  readonly messageId: string;
  readonly request: IncomingMessage;
}

export interface RuleRequest extends AcceptedRequest {
  readonly response: ServerResponse;
}
