/** Columns with a heading, as kubectl prints them. */
export function formatTable(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heading, ...rows.map((row) => row.map(printable))];
  const widths = heading.map((_, at) => Math.max(...all.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("   ")
      .trimEnd();
  return `${all.map(line).join("\n")}\n`;
}

/** How far away a time is, as in `23h` or `3d ago`; `-` of none. */
export function untilWords(time: string | undefined, nowMs: number): string {
  if (time === undefined) return "-";
  const ms = Date.parse(time) - nowMs;
  if (Number.isNaN(ms)) return "-";
  const span = spanWords(Math.abs(ms));
  return ms < 0 ? `${span} ago` : span;
}

function spanWords(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** What others wrote must not steer the terminal. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, "�");
}
