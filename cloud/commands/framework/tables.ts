/** Columns with a heading, as kubectl prints them. */
export function formatTable(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heading, ...rows.map((row) => row.map(printable))];
  const widths = heading.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("   ")
      .trimEnd();
  return `${all.map(line).join("\n")}\n`;
}

/** The distance of a time from now, as in `23h` or `3d ago`; `-` without a time. */
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

/** Text from nodes and users must not contain control characters, which a terminal would interpret. */
function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, "�");
}
