import { choosesNode, type NamedNode, type NodeChoice } from "#shared/rules";
import { nodesOfRule } from "./request-path.ts";

export type TargetNodes =
  { readonly ok: true; readonly nodes: readonly string[] } | { readonly ok: false; readonly problem: string };

/** Where a message goes, by what the rule chooses and, of a request, the node that it names. */
export function targetNodes(
  choice: NodeChoice | undefined,
  requested: string,
  nodes: { readonly get: (name: string) => NamedNode | undefined; readonly list: () => Iterable<NamedNode> },
): TargetNodes {
  if (requested !== nodesOfRule) {
    const node = nodes.get(requested);
    if (!node) return { ok: false, problem: `there is no edge node ${JSON.stringify(requested)}` };
    if (choice && !choosesNode(choice, node))
      return { ok: false, problem: `the rule is not for node ${JSON.stringify(requested)}` };
    return { ok: true, nodes: [requested] };
  }
  if (!choice) return { ok: false, problem: "the rule names no nodes: the path has to name one" };
  const chosen = chosenNodes(choice, nodes);
  return chosen.length > 0
    ? { ok: true, nodes: chosen }
    : { ok: false, problem: "the rule chooses no node that exists" };
}

export function chosenNodes(
  choice: NodeChoice,
  nodes: { readonly get: (name: string) => NamedNode | undefined; readonly list: () => Iterable<NamedNode> },
): string[] {
  if (choice.by === "name") return nodes.get(choice.name) ? [choice.name] : [];
  return [...nodes.list()].filter((node) => choosesNode(choice, node)).map(({ name }) => name);
}
