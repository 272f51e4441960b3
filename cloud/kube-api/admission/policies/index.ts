/** ValidatingAdmissionPolicies: which are bound to a request, and what their expressions say about it. */
export { Policies, type PolicyParts } from "./policies.ts";
export { policyVariables } from "./variables.ts";
