import type { KubeObject } from "./meta.ts";

/** rules.kubeedge.io/v1: what arrives at one endpoint goes to another. `shared/rules` reads it. */
export interface Rule extends KubeObject {
  spec?: RuleSpec;
  status?: RuleStatus;
}

export interface RuleSpec {
  /** name of a RuleEndpoint of the namespace, as `target` */
  source?: string;
  sourceResource?: Record<string, string>;
  target?: string;
  targetResource?: Record<string, string>;
}

export interface RuleStatus {
  successMessages?: number;
  failMessages?: number;
  /** Why it is not in effect, or its last error. */
  errors?: string[];
  state?: "Active" | "Invalid";
  deadLetters?: number;
  queuedMessages?: number;
  lastSuccessTime?: string;
  lastFailureTime?: string;
}

export interface RuleEndpoint extends KubeObject {
  spec?: { ruleEndpointType?: string; properties?: Record<string, string> };
}
