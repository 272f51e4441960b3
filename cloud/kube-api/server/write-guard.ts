import {
  authorize,
  isGrant,
  type Authorizer,
  type EscalationGuard,
  type ResourceAttributes,
  type User,
} from "#cloud/kube-api/auth";
import { checkSigningRequest } from "#cloud/kube-api/auth/certificates";
import { isSigningRequest } from "#cloud/kube-api/kinds";
import type { WriteGuard } from "#cloud/kube-api/objects";
import { toKubeObject } from "#cloud/kube-api/schema";

interface GuardParts {
  readonly authorizer: Authorizer;
  readonly escalation: EscalationGuard;
}

/** Checks of what this user may write with this request, beyond the verb on the resource. */
export function writeGuard(parts: GuardParts, user: User, asked: ResourceAttributes): WriteGuard {
  return {
    mayCreate: () => authorize(parts, user, { ...asked, verb: "create" }),
    mayStore: ({ kind, namespace, name }, next, current) => {
      if (isSigningRequest(kind))
        checkSigningRequest(parts.authorizer, user, { subresource: asked.subresource, name, next, current });
      if (!isGrant(kind)) return;
      parts.escalation.check(user, {
        plural: kind.plural,
        namespace,
        requestName: asked.name,
        next: toKubeObject(next),
        current: current && toKubeObject(current),
      });
    },
  };
}
