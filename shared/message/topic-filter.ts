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

interface Level<T> {
  readonly next: Map<string, Level<T>>;
  values: Set<T> | undefined;
}

/** Values by topic filter; finding those of a topic costs its depth, not the number of filters. */
export class TopicTrie<T> {
  readonly #root: Level<T> = { next: new Map(), values: undefined };

  add(filter: string, value: T): void {
    let at = this.#root;
    for (const level of filter.split("/")) {
      const next: Level<T> = at.next.get(level) ?? { next: new Map(), values: undefined };
      at.next.set(level, next);
      at = next;
    }
    at.values = (at.values ?? new Set()).add(value);
  }

  remove(filter: string, value: T): void {
    const path: [Level<T>, string][] = [];
    let at: Level<T> | undefined = this.#root;
    for (const level of filter.split("/")) {
      path.push([at, level]);
      at = at.next.get(level);
      if (!at) return;
    }
    at.values?.delete(value);
    for (const [parent, level] of path.toReversed()) {
      const child = parent.next.get(level);
      if (!child || child.next.size > 0 || (child.values?.size ?? 0) > 0) break;
      parent.next.delete(level);
    }
  }

  match(topic: string): Set<T> {
    const found = new Set<T>();
    const levels = topic.split("/");
    const walk = (at: Level<T>, depth: number): void => {
      const wild = depth > 0 || !topic.startsWith("$");
      if (wild) collect(at.next.get("#"), found);
      if (depth === levels.length) {
        collect(at, found);
        return;
      }
      const exact = at.next.get(levels[depth] ?? "");
      if (exact) walk(exact, depth + 1);
      const any = wild ? at.next.get("+") : undefined;
      if (any) walk(any, depth + 1);
    };
    walk(this.#root, 0);
    return found;
  }
}

function collect<T>(level: Level<T> | undefined, into: Set<T>): void {
  for (const value of level?.values ?? []) into.add(value);
}
