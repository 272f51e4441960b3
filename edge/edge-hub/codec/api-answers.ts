import { asRecord } from "#shared/json";
import type { KubeObject, Status } from "#shared/kube";
import type { ApiAnswer, TokenOfPodAnswer } from "#shared/topics";
import { contentText, operations } from "#shared/wire";
import type { CloudMessage } from "./cloud-message.ts";

/** What a KubeEdge cloud answers to a write: `{"Object": …, "Err": null | {"ErrStatus": Status}}`, or "OK". */
export function readWriteAnswer<T extends KubeObject>(answer: CloudMessage): ApiAnswer<T> {
  return readFailed(answer) ?? answerWith<T>(contentOf(answer)["Object"]);
}

/** What it answers to a query for a Node: the bare object, or a bare `{"ErrStatus": Status}`. */
export function readQueryAnswer<T extends KubeObject>(answer: CloudMessage): ApiAnswer<T> {
  return readFailed(answer) ?? answerWith<T>(answer.envelope.content);
}

/**
 * As `readWriteAnswer`, but only a pod with a uid and a failure in `Err` count: containers are removed because of what it
 * answers, so that anything less certain is no answer.
 */
export function readCertainAnswer<T extends KubeObject>(answer: CloudMessage): ApiAnswer<T> {
  if (answer.envelope.route.operation === operations.error) return {};
  const { Object: object, Err: error } = contentOf(answer);
  if (error) {
    const failure = statusIn(asRecord(error)?.["ErrStatus"]);
    return failure ? { failure } : {};
  }
  const found = answerWith<T>(object);
  return found.object?.metadata.uid ? found : {};
}

/** TokenRequest of authentication.k8s.io/v1, or `{"ErrStatus": Status}`. */
export function readTokenAnswer(answer: CloudMessage): TokenOfPodAnswer {
  const { spec, status, ErrStatus } = contentOf(answer);
  const token = asRecord(status)?.["token"];
  if (typeof token !== "string" || token === "")
    return { refusal: statusIn(ErrStatus)?.message ?? "none is in the answer" };
  const seconds = asRecord(spec)?.["expirationSeconds"];
  return typeof seconds === "number" && seconds > 0 ? { token, expirationSeconds: seconds } : { token };
}

function readFailed(answer: CloudMessage): { readonly failure: Status } | undefined {
  const { route, content } = answer.envelope;
  if (route.operation === operations.error)
    return { failure: { status: "Failure", message: contentText(content), reason: "Unknown" } };
  const { Err: error, ErrStatus: status } = contentOf(answer);
  const failure = error
    ? (statusIn(asRecord(error)?.["ErrStatus"]) ?? {
        status: "Failure",
        message: "an error without a status",
      })
    : statusIn(status);
  return failure && { failure };
}

function contentOf({ envelope }: CloudMessage): Readonly<Record<string, unknown>> {
  return asRecord(envelope.content) ?? {};
}

function answerWith<T extends KubeObject>(value: unknown): ApiAnswer<T> {
  // The API server validated the rest of it.
  return asRecord(asRecord(value)?.["metadata"]) ? { object: value as T } : {};
}

function statusIn(value: unknown): Status | undefined {
  // Its fields are only compared and reported.
  return asRecord(value) && (value as Status);
}
