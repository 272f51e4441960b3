/**
 * The value of a header in the head of a request that nobody has parsed yet, the first if there are several. Without an
 * expression: one that trims is slow on a line of many blanks, which anybody may send.
 */
export function headerOf(head: string, name: string): string | undefined {
  const start = `${name.toLowerCase()}:`;
  const line = head
    .split("\n")
    .find((one) => one.length >= start.length && one.slice(0, start.length).toLowerCase() === start);
  return line?.slice(start.length).trim();
}
