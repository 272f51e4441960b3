/** Age of a timestamp as kubectl shows it; "<unknown>" without one. */
export function ageSince(timestamp: unknown, nowMs: number): string {
  const then = typeof timestamp === "string" ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(then) ? "<unknown>" : humanDuration(nowMs - then);
}

/** As `HumanDuration` of apimachinery/util/duration: two units while the second one matters, then one. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return two(minutes, seconds % 60, "ms");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return two(hours, minutes % 60, "hm");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (hours < 192) return two(days, hours % 24, "dh");
  if (days < 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  return days < 365 * 8 ? two(years, days % 365, "yd") : `${years}y`;
}

/** `3h1m`, `3h` */
function two(big: number, small: number, units: string): string {
  const [bigUnit = "", smallUnit = ""] = units;
  return small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`;
}
