import { meetsLabelExpressions, parseLabelSelector } from "#shared/kube";
import type { NodeChoice, RuleMeaning, RuleProblem } from "./rule-meaning.ts";

export interface NamedNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export function choosesNode(choice: NodeChoice, { name, labels }: NamedNode): boolean {
  if (choice.by === "all") return true;
  return choice.by === "name" ? choice.name === name : meetsLabelExpressions(choice.requirements, labels);
}

/** Whether a rule that was sent to a node may choose it: a node does not know its labels, and rules of others are not sent. */
export function mayChoose(choice: NodeChoice, name: string): boolean {
  return choice.by !== "name" || choice.name === name;
}

/** Whether a node takes part in a rule, as source or as target. A target that the request names may be any node. */
export function concernsNode({ source, target }: RuleMeaning, node: NamedNode): boolean {
  if (source.kind !== "rest" && choosesNode(source.nodes, node)) return true;
  return target.kind !== "rest" && (target.nodes === undefined || choosesNode(target.nodes, node));
}

/** Whether some node may be in both; of selectors that is not known, and so assumed. */
export function mayMeet(left: NodeChoice, right: NodeChoice): boolean {
  return left.by !== "name" || right.by !== "name" || left.name === right.name;
}

const keys = ["node_name", "node_selector", "all_nodes"] as const;
const dnsName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** Reads `node_name`, `node_selector` and `all_nodes`, of which one may be there. */
export function readNodeChoice(
  resource: Readonly<Record<string, string>>,
  path: string,
): { readonly choice?: NodeChoice; readonly problem?: RuleProblem } {
  const given = keys.filter((key) => resource[key] !== undefined);
  const [key, second] = given;
  if (key === undefined) return {};
  const field = `${path}.${key}`;
  const value = resource[key] ?? "";
  if (second !== undefined)
    return {
      problem: {
        field: `${path}.${second}`,
        value: resource[second],
        problem: `must not be given beside ${key}`,
      },
    };
  const problem = (text: string) => ({ problem: { field, value, problem: text } });
  if (key === "all_nodes") return value === "true" ? { choice: { by: "all" } } : problem('must be "true"');
  if (key === "node_name")
    return dnsName.test(value)
      ? { choice: { by: "name", name: value } }
      : problem("must be the name of a node, a lower-case DNS name such as edge-1");
  const parsed = parseLabelSelector(value);
  if (!parsed.ok || parsed.requirements.length === 0)
    return problem("must be a label selector such as room=hall,floor in (1,2)");
  return { choice: { by: "selector", text: value, requirements: parsed.requirements } };
}
