import type { LabelRequirement } from "#shared/kube";
import type { TemplatePart } from "./path-template.ts";

/** The nodes that a rule names. */
export type NodeChoice =
  | { readonly by: "name"; readonly name: string }
  | { readonly by: "selector"; readonly text: string; readonly requirements: readonly LabelRequirement[] }
  | { readonly by: "all" };

export type RuleSource =
  /** Requests to `/<node>/<namespace>/<path>` of cloudcore. */
  | { readonly kind: "rest"; readonly path: readonly TemplatePart[] }
  /** What clients publish to the brokers of the nodes. */
  | {
      readonly kind: "eventbus";
      /** as clients on the node use it: `<namespace>/<topic>`, which may have wildcards */
      readonly filter: string;
      readonly nodes: NodeChoice;
    }
  /** Requests of programs on the nodes, which name exactly this URL. */
  | { readonly kind: "servicebus"; readonly targetUrl: string; readonly nodes: NodeChoice };

export type RuleTarget =
  | { readonly kind: "rest"; readonly url: string }
  /** `nodes` is undefined where the request names the node. */
  | {
      readonly kind: "eventbus";
      readonly topic: string;
      readonly nodes: NodeChoice | undefined;
      readonly delivery: Delivery;
    }
  | {
      readonly kind: "servicebus";
      readonly port: number;
      /** with a slash in front */
      readonly path: string;
      readonly nodes: NodeChoice | undefined;
      readonly delivery: Delivery;
    };

/** `durable`: what cannot be delivered to a node now waits for it. */
export type Delivery = "direct" | "durable";

/** A Rule and its endpoints, read. */
export interface RuleMeaning {
  /** `<namespace>/<name>` */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly source: RuleSource;
  readonly target: RuleTarget;
  /** For one delivery, milliseconds; undefined: the default. */
  readonly timeoutMs: number | undefined;
}

/** A value that cannot work. */
export interface RuleProblem {
  readonly field: string;
  readonly value: string | undefined;
  readonly problem: string;
}

export type ReadRule =
  | { readonly ok: true; readonly meaning: RuleMeaning }
  | { readonly ok: false; readonly problems: readonly RuleProblem[] };
