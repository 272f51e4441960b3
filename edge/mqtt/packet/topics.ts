/** Prefix of a shared subscription (MQTT 5 section 4.8.2). */
const sharePrefix = "$share/";

/** Whether a text may stand as the topic of a message: topic names have no wildcards (section 4.7.1). */
export function isTopicName(text: string): boolean {
  return text !== "" && !text.includes("+") && !text.includes("#");
}

/** Whether wildcards in a filter fill whole levels, `#` the last one (section 4.7.1). */
export function isFilter(filter: string): boolean {
  if (filter === "") return false;
  if (!filter.includes("+") && !filter.includes("#")) return true;
  const levels = filter.split("/");
  return levels.every((level, index) =>
    level === "#" ? index === levels.length - 1 : level === "+" || !/[+#]/.test(level),
  );
}

export interface SharedFilter {
  /** the name of the group */
  readonly group: string;
  readonly filter: string;
}

/** The parts of `$share/GROUP/FILTER`; undefined for another filter. */
export function parseShared(filter: string): SharedFilter | undefined {
  if (!filter.startsWith(sharePrefix)) return undefined;
  const slash = filter.indexOf("/", sharePrefix.length);
  return { group: filter.slice(sharePrefix.length, slash), filter: filter.slice(slash + 1) };
}

/** Whether a filter that starts with `$share/` has a group without wildcards and a filter behind it. */
export function isSharedFilter(filter: string): boolean {
  const match = /^\$share\/([^/+#]+)\/(.+)$/s.exec(filter);
  return match !== null && isFilter(match[2] ?? "");
}
