import type { OpenStream } from "#cloud/kube-api/flow-control";
import { answerText, type ExtraResource, type RequestTarget } from "#cloud/kube-api/http";
import { refusals } from "#cloud/kube-api/status";

interface ExtraParts {
  readonly extras: ReadonlySet<ExtraResource>;
}

/** @throws Refusal when the resource has other verbs alone */
export function findExtra(
  { extras }: ExtraParts,
  target: RequestTarget,
  verb: string,
): ExtraResource | undefined {
  const found = [...extras].filter((one) => isFor(one, target));
  const extra = found.find((one) => one.verb === verb);
  if (found.length > 0 && !extra) throw refusals.methodNotAllowed();
  return extra;
}

/** The scope counts: a permission in one namespace must not open a resource of the whole cluster. */
function isFor(extra: ExtraResource, target: RequestTarget): boolean {
  return (
    extra.group === target.group &&
    extra.version === target.version &&
    extra.resource === target.resource &&
    extra.subresource === target.subresource &&
    extra.namespaced === (target.namespace !== "")
  );
}

export async function serveExtra(
  extra: ExtraResource,
  asked: {
    readonly target: RequestTarget;
    readonly query: URLSearchParams;
    readonly open: OpenStream;
    readonly signal: AbortSignal;
  },
): Promise<Response> {
  const { target, query, open, signal } = asked;
  const { namespace, name } = target;
  const reply = await extra.answer({ namespace, name, query, signal });
  if (!reply.ok) throw refusals.ofCode(reply.code, reply.text);
  return answerText(JSON.stringify(reply.body), false, 200, open);
}
