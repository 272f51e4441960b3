/** About what all that knows a filter takes for it, for each of its levels and for each character. */
const base = 400;
const ofLevel = 64;
const ofCharacter = 2;

/** About the bytes of memory a subscription costs, which go by its levels more than by its text. */
export function weightOf(filter: string): number {
  let levels = 1;
  for (let at = filter.indexOf("/"); at !== -1; at = filter.indexOf("/", at + 1)) levels += 1;
  return base + ofLevel * levels + ofCharacter * filter.length;
}
