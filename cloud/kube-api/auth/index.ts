/** Authentication and authorization of the embedded Kubernetes API: client certificates, tokens, impersonation, RBAC. */
export {
  Authenticator,
  anonymous,
  ownUser,
  userInfo,
  type Identified,
  type Peer,
  type User,
} from "./authenticator.ts";
export { accessOf } from "./access-questions.ts";
export { Authorizer, type Attributes, type PolicyRule } from "./authorizer.ts";
export { defaultGrants, reconcileDefault } from "./default-roles.ts";
export { RbacCopy } from "./rbac-copy.ts";
export { adminKubeconfig, writeKubeconfig, type KubeconfigParts } from "./kubeconfig.ts";
export { requestToken, TokenSigner, type TokenClaims, type TokenParts } from "#cloud/kube-api/auth/tokens";
export { EscalationGuard, isGrant, type Grant } from "./escalation.ts";
export {
  attributesOf,
  authorize,
  authorizePath,
  requesterOf,
  senderOf,
  type AccessParts,
  type Credentials,
  type ResourceAttributes,
} from "./request-access.ts";
