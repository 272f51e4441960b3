import { asRecord } from "#shared/json";
import { operations } from "#shared/wire";
import type { CloudMessage } from "./cloud-message.ts";

export type ReplyVerdict =
  /** It is done. */
  | { readonly kind: "done" }
  /** It will never be taken. */
  | { readonly kind: "refused"; readonly code: number; readonly text: string }
  /** It is to be sent again. */
  | { readonly kind: "later"; readonly text: string };

/** Codes below 500 after which the same message may be taken: timeout, conflict, too many requests. */
const temporary: ReadonlySet<number> = new Set([408, 409, 429]);

/** What the cloud's reply means for the message it answers. */
export function judgeReply({ envelope: { route, content } }: CloudMessage): ReplyVerdict {
  if (route.operation === operations.error) return { kind: "later", text: describe(content) };
  const failure = findStatus(content);
  const code = failure?.["code"];
  if (failure === undefined || typeof code !== "number" || code < 400) return { kind: "done" };
  const text = describe(failure["message"] ?? failure["reason"]);
  if (code < 500 && (!temporary.has(code) || isOfAnotherUid(failure))) return { kind: "refused", code, text };
  return { kind: "later", text: `${code} ${text}` };
}

/** The object was replaced by another one of its name, which no repetition changes. */
function isOfAnotherUid({ reason, message }: Record<string, unknown>): boolean {
  return (
    reason === "Conflict" &&
    typeof message === "string" &&
    message.includes("Precondition failed: UID in precondition")
  );
}

/** The failed metav1.Status in a reply: bare, in `ErrStatus`, or in `Err` or `Err.ErrStatus` of an object answer. */
function findStatus(content: unknown): Record<string, unknown> | undefined {
  const whole = asRecord(content);
  if (!whole) return undefined;
  if (whole["kind"] === "Status") return whole;
  const error = asRecord(whole["Err"]) ?? whole;
  const status = asRecord(error["ErrStatus"]);
  return status ?? (error === whole ? undefined : error);
}

function describe(value: unknown): string {
  return (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).slice(0, 300);
}
