/** Whether an MQTT topic filter (`+`, `#`) covers a topic; filters that start with a wildcard leave `$` topics out. */
export function topicMatches(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && (filter.startsWith("+") || filter.startsWith("#"))) return false;
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    if (index >= levels.length) return false;
    if (level !== "+" && level !== levels[index]) return false;
  }
  return wanted.length === levels.length;
}

/** Whether a text may stand as a topic filter. */
export function isTopicFilter(text: string): boolean {
  const levels = text.split("/");
  if (text === "" || text.length > 1024 || levels.length > 50 || text.includes("\0")) return false;
  return levels.every((level, index) => {
    if (level === "#") return index === levels.length - 1;
    return level === "+" || !/[+#]/.test(level);
  });
}

/** Levels that no filter ends or branches off at share a node: `path` leads to it from the one above. */
interface Node<T> {
  path: readonly string[];
  next: Map<string, Node<T>> | undefined;
  values: Set<T> | undefined;
}

/**
 * Values by topic filter. Finding those of a topic costs its depth, and more only where wildcards make several paths of it:
 * then a comparison for each of their levels. Memory goes by the number of filters, however deep they are.
 */
export class TopicTrie<T> {
  readonly #root: Node<T> = { path: [], next: undefined, values: undefined };

  add(filter: string, value: T): void {
    let at = this.#root;
    for (let rest = filter.split("/"); rest.length > 0;) {
      const next = at.next?.get(rest[0] ?? "");
      const shared = next ? countShared(next.path, rest) : rest.length;
      if (!next) at = append(at, { path: rest, next: undefined, values: undefined });
      else at = shared === next.path.length ? next : split(at, next, shared);
      rest = rest.slice(shared);
    }
    at.values = (at.values ?? new Set()).add(value);
  }

  remove(filter: string, value: T): void {
    const above: Node<T>[] = [];
    let at = this.#root;
    for (let rest = filter.split("/"); rest.length > 0;) {
      const next = at.next?.get(rest[0] ?? "");
      if (!next || countShared(next.path, rest) < next.path.length) return;
      above.push(at);
      rest = rest.slice(next.path.length);
      at = next;
    }
    at.values?.delete(value);
    if (at.values?.size === 0) at.values = undefined;
    const parent = above.pop();
    if (!parent) return;
    tidy(parent, at);
    const grandparent = above.pop();
    if (grandparent) tidy(grandparent, parent);
  }

  match(topic: string): Set<T> {
    const found = new Set<T>();
    const levels = topic.split("/");
    const enter = ({ next }: Node<T>, depth: number): void => {
      const level = levels[depth];
      const isHidden = depth === 0 && topic.startsWith("$");
      if (!isHidden) follow(next?.get("#"), depth);
      if (level === undefined) return;
      follow(next?.get(level), depth);
      if (!isHidden) follow(next?.get("+"), depth);
    };
    const follow = (node: Node<T> | undefined, depth: number): void => {
      if (!node) return;
      const end = whereItEnds(node.path, levels, depth);
      if (end === undefined) return;
      if (end === levels.length) for (const value of node.values ?? []) found.add(value);
      if (node.next) enter(node, end);
    };
    enter(this.#root, 0);
    return found;
  }
}

/** @returns the level of the topic behind what the path covers; undefined when it does not cover it */
function whereItEnds(path: readonly string[], levels: readonly string[], depth: number): number | undefined {
  let at = depth;
  for (const level of path) {
    if (level === "#") return levels.length;
    if (at === levels.length || (level !== levels[at] && level !== "+")) return undefined;
    at += 1;
  }
  return at;
}

function countShared(path: readonly string[], levels: readonly string[]): number {
  const differs = path.findIndex((level, at) => level !== levels[at]);
  return differs === -1 ? path.length : differs;
}

function append<T>(parent: Node<T>, node: Node<T>): Node<T> {
  (parent.next ??= new Map()).set(node.path[0] ?? "", node);
  return node;
}

/** Makes a node of the first levels of a path. */
function split<T>(parent: Node<T>, node: Node<T>, levels: number): Node<T> {
  const middle: Node<T> = { path: node.path.slice(0, levels), next: undefined, values: undefined };
  node.path = node.path.slice(levels);
  append(middle, node);
  return append(parent, middle);
}

/** Takes a node away that leads nowhere, and joins one with the only one below that it leads to. */
function tidy<T>(parent: Node<T>, node: Node<T>): void {
  if (node.values || (node.next?.size ?? 0) > 1) return;
  const only = node.next?.values().next().value;
  if (!only) {
    parent.next?.delete(node.path[0] ?? "");
    return;
  }
  only.path = [...node.path, ...only.path];
  append(parent, only);
}
