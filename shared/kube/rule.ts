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
/** rules.kubeedge.io/v1alpha1: what a node does by itself when its devices report. `shared/device-rules` reads it. */
export interface DeviceRule extends KubeObject {
  spec?: DeviceRuleSpec;
  status?: DeviceRuleStatus;
}

export interface DeviceRuleSpec {
  nodeName?: string;
  /** All have to hold. */
  when?: DeviceRuleCondition[];
  /** How long they have to hold, e.g. "30s". */
  for?: string;
  then?: DeviceRuleAction[];
  /** When they no longer hold. */
  otherwise?: DeviceRuleAction[];
  /** Least time between two runs; "1s" by default. */
  minInterval?: string;
  /** Actions are counted, and not done. */
  dryRun?: boolean;
  suspend?: boolean;
}

export interface DeviceRuleCondition {
  device?: string;
  /** Absent: the state of the device. */
  property?: string;
  expression?: string;
  /** Once the condition holds, it does so until this is true. */
  until?: string;
}

export interface DeviceRuleAction {
  set?: { device?: string; property?: string; value?: string };
  publish?: { topic?: string; payload?: string; retain?: boolean };
  http?: { url?: string; method?: string; body?: string };
}

export interface DeviceRuleStatus {
  state?: "Active" | "Waiting" | "Suspended" | "Invalid";
  /** Whether its conditions hold. */
  holds?: boolean;
  runs?: number;
  dryRuns?: number;
  failures?: number;
  suppressed?: number;
  lastRunTime?: string;
  lastError?: string;
  /** What it waits for: devices and properties without a value. */
  waitingFor?: string[];
}
