/** An IntOrString that may be a percentage of `total`; what is neither counts as 0. */
export function resolveShare(
  value: number | string,
  total: number,
  round: (share: number) => number,
): number {
  if (typeof value === "number") return value;
  const percent = /^(\d+)%$/.exec(value);
  return percent ? round((Number(percent[1]) * total) / 100) : Number.parseInt(value, 10) || 0;
}
