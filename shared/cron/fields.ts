/** The values of one field of a schedule; `isStar` when it was given as `*` or `?`, which days of month and week differ by. */
export interface CronField {
  readonly values: ReadonlySet<number>;
  readonly isStar: boolean;
}

interface Bounds {
  readonly min: number;
  readonly max: number;
  /** Names of the values from `min` on. */
  readonly names?: readonly string[];
}

const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const fieldBounds: readonly Bounds[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: months },
  { min: 0, max: 6, names: weekdays },
];

/**
 * Minutes, hours, days of the month, months and days of the week, in the grammar and with the messages of robfig/cron's
 * ParseStandard, which Kubernetes validates with; a text says what is wrong.
 */
export function parseFields(text: string): readonly CronField[] | string {
  const parts = text.split(/\s+/).filter((part) => part !== "");
  if (parts.length !== fieldBounds.length)
    return `expected exactly ${fieldBounds.length} fields, found ${parts.length}: [${parts.join(" ")}]`;
  const fields: CronField[] = [];
  for (const [index, bounds] of fieldBounds.entries()) {
    const field = parseField(parts[index] ?? "", bounds);
    if (typeof field === "string") return field;
    fields.push(field);
  }
  return fields;
}

function parseField(text: string, bounds: Bounds): CronField | string {
  const values = new Set<number>();
  let isStar = false;
  for (const part of text.split(",").filter((one) => one !== "")) {
    const range = parseRange(part, bounds);
    if (typeof range === "string") return range;
    for (let value = range.first; value <= range.last; value += range.step) values.add(value);
    isStar ||= range.isStar;
  }
  return { values, isStar };
}

interface Range {
  readonly first: number;
  readonly last: number;
  readonly step: number;
  readonly isStar: boolean;
}

/** `number | name | number-number | *`, each with `/step`; a single number with a step goes up to the maximum. */
function parseRange(text: string, bounds: Bounds): Range | string {
  const [limits = "", stepText, ...more] = text.split("/");
  if (more.length > 0) return `too many slashes: ${text}`;
  if (limits.split("-").length > 2) return `too many hyphens: ${text}`;
  const ends = parseEnds(limits, bounds);
  if (typeof ends === "string") return ends;
  const step = stepText === undefined ? 1 : parseNumber(stepText);
  if (typeof step === "string") return step;
  const { first, isStar } = ends;
  const last = ends.last ?? (stepText === undefined ? first : bounds.max);
  const fault = rangeFault({ first, last, step }, bounds);
  return fault === undefined ? { first, last, step, isStar: isStar && step === 1 } : `${fault}: ${text}`;
}

interface Ends {
  readonly first: number;
  /** Undefined when the text names one value. */
  readonly last?: number;
  readonly isStar: boolean;
}

function parseEnds(text: string, bounds: Bounds): Ends | string {
  const [firstText = "", lastText] = text.split("-");
  if (firstText === "*" || firstText === "?") return { first: bounds.min, last: bounds.max, isStar: true };
  const first = parseValue(firstText, bounds);
  if (typeof first === "string") return first;
  if (lastText === undefined) return { first, isStar: false };
  const last = parseValue(lastText, bounds);
  return typeof last === "string" ? last : { first, last, isStar: false };
}

function rangeFault({ first, last, step }: Omit<Range, "isStar">, { min, max }: Bounds): string | undefined {
  if (first < min) return `beginning of range (${first}) below minimum (${min})`;
  if (last > max) return `end of range (${last}) above maximum (${max})`;
  if (first > last) return `beginning of range (${first}) beyond end of range (${last})`;
  return step === 0 ? "step of range should be a positive number" : undefined;
}

function parseValue(text: string, { min, names = [] }: Bounds): number | string {
  const named = names.indexOf(text.toLowerCase());
  return named < 0 ? parseNumber(text) : min + named;
}

function parseNumber(text: string): number | string {
  if (/^\+?\d{1,9}$/.test(text)) return Number(text);
  return `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
}
