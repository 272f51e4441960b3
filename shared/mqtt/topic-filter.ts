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
  /** Those below, by their first level; the one below `+` and the one below `#` apart, since they are asked for most. */
  next: Map<string, Node<T>> | undefined;
  any: Node<T> | undefined;
  rest: Node<T> | undefined;
  values: Values<T>;
}

/** Most filters have one value alone, and a set takes as much memory as all else of a node. */
type Values<T> = { readonly only: T } | Set<T> | undefined;

/**
 * Values by topic filter. Finding those of a topic costs its depth, and more only where wildcards make several paths of it:
 * then a comparison for each of their levels. Memory goes by the number of filters, however deep they are.
 */
export class TopicTrie<T> {
  readonly #root: Node<T> = makeNode([]);

  add(filter: string, value: T): void {
    let node = this.#root;
    for (let rest = filter.split("/"); rest.length > 0;) {
      const next = childOf(node, rest[0]);
      const shared = next ? countShared(next.path, rest) : rest.length;
      if (!next) node = append(node, makeNode<T>(rest));
      else node = shared === next.path.length ? next : split(node, next, shared);
      rest = rest.slice(shared);
    }
    node.values = withValue(node.values, value);
  }

  remove(filter: string, value: T): void {
    const above: Node<T>[] = [];
    let node = this.#root;
    for (let rest = filter.split("/"); rest.length > 0;) {
      const next = childOf(node, rest[0]);
      if (!next || countShared(next.path, rest) < next.path.length) return;
      above.push(node);
      rest = rest.slice(next.path.length);
      node = next;
    }
    node.values = withoutValue(node.values, value);
    const parent = above.pop();
    if (!parent) return;
    tidy(parent, node);
    const grandparent = above.pop();
    if (grandparent) tidy(grandparent, parent);
  }

  match(topic: string): Set<T> {
    const found = new Set<T>();
    const levels = topic.split("/");
    const enter = ({ next, any, rest }: Node<T>, depth: number): void => {
      const level = levels[depth];
      const isHidden = depth === 0 && topic.startsWith("$");
      if (rest && !isHidden) collect(rest.values, found);
      if (level === undefined) return;
      const exact = next?.get(level);
      if (exact) follow(exact, depth);
      if (any && !isHidden) follow(any, depth);
    };
    const follow = (node: Node<T>, depth: number): void => {
      const end = whereItEnds(node.path, levels, depth);
      if (end === undefined) return;
      if (end === levels.length) collect(node.values, found);
      enter(node, end);
    };
    enter(this.#root, 0);
    return found;
  }
}

function makeNode<T>(path: readonly string[]): Node<T> {
  return { path, next: undefined, any: undefined, rest: undefined, values: undefined };
}

function childOf<T>({ next, any, rest }: Node<T>, level = ""): Node<T> | undefined {
  if (level === "+") return any;
  return level === "#" ? rest : next?.get(level);
}

function withValue<T>(values: Values<T>, value: T): Values<T> {
  if (!values) return { only: value };
  return values instanceof Set ? values.add(value) : new Set([values.only, value]);
}

function withoutValue<T>(values: Values<T>, value: T): Values<T> {
  if (!(values instanceof Set)) return values?.only === value ? undefined : values;
  values.delete(value);
  return values.size === 0 ? undefined : values;
}

function collect<T>(values: Values<T>, into: Set<T>): void {
  if (values instanceof Set) for (const value of values) into.add(value);
  else if (values) into.add(values.only);
}

/** @returns the level of the topic behind what the path covers; undefined when it does not cover it */
function whereItEnds(path: readonly string[], levels: readonly string[], depth: number): number | undefined {
  let index = depth;
  for (const level of path) {
    if (level === "#") return levels.length;
    if (index === levels.length || (level !== levels[index] && level !== "+")) return undefined;
    index += 1;
  }
  return index;
}

function countShared(path: readonly string[], levels: readonly string[]): number {
  const differs = path.findIndex((level, index) => level !== levels[index]);
  return differs === -1 ? path.length : differs;
}

function append<T>(parent: Node<T>, node: Node<T>): Node<T> {
  const [level = ""] = node.path;
  if (level === "+") parent.any = node;
  else if (level === "#") parent.rest = node;
  else (parent.next ??= new Map()).set(level, node);
  return node;
}

/** Makes a node of the first levels of a path. */
function split<T>(parent: Node<T>, node: Node<T>, levels: number): Node<T> {
  const middle = makeNode<T>(node.path.slice(0, levels));
  node.path = node.path.slice(levels);
  append(middle, node);
  return append(parent, middle);
}

/** Takes a node away that leads nowhere, and joins one with the only one below that it leads to. */
function tidy<T>(parent: Node<T>, node: Node<T>): void {
  const below = (node.next?.size ?? 0) + Number(node.any !== undefined) + Number(node.rest !== undefined);
  if (node.values || below > 1) return;
  const only = node.any ?? node.rest ?? node.next?.values().next().value;
  if (only) {
    only.path = [...node.path, ...only.path];
    append(parent, only);
  } else drop(parent, node);
}

function drop<T>(parent: Node<T>, { path: [level = ""] }: Node<T>): void {
  if (level === "+") parent.any = undefined;
  else if (level === "#") parent.rest = undefined;
  else parent.next?.delete(level);
  if (parent.next?.size === 0) parent.next = undefined;
}
