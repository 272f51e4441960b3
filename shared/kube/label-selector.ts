/**
 * Label selectors, in both forms of Kubernetes: the metav1.LabelSelector of objects, and the text of URLs and kubectl.
 * Follows k8s.io/apimachinery `labels.Requirement`.
 */
export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly LabelExpression[];
}

/** One entry of `matchExpressions`, and one of a node affinity term; an operator that is unknown matches nothing. */
export interface LabelExpression {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** A term of the text form. */
export interface LabelRequirement extends LabelExpression {
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt";
  readonly values: readonly string[];
}

type Labels = Readonly<Record<string, string>>;

/** Whether every label of `wanted` is there with its value. */
export function hasLabels(labels: Labels, wanted: Labels): boolean {
  for (const [key, value] of Object.entries(wanted))
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  return true;
}

const none: readonly string[] = [];

/** Whether one requirement holds. An absent label satisfies NotIn. */
function meetsLabelExpression({ key, operator, values = none }: LabelExpression, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return compareIntegers(value, values[0]) > 0;
    case "Lt":
      return compareIntegers(value, values[0]) < 0;
    default:
      return false;
  }
}

export function meetsLabelExpressions(expressions: readonly LabelExpression[], labels: Labels): boolean {
  return expressions.every((expression) => meetsLabelExpression(expression, labels));
}

/** Whether a selector matches, as metav1.LabelSelectorAsSelector: an absent one nothing, an empty one everything. */
export function matchesLabelSelector(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (selector === undefined) return false;
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return hasLabels(labels, matchLabels) && meetsLabelExpressions(matchExpressions, labels);
}

export function isEmptySelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

/** A 64-bit integer has at most 19 digits. */
const integer = /^-?\d{1,19}$/;

/** Neither greater nor less (0) when one of them is no integer. */
function compareIntegers(left: string | undefined, right: string | undefined): number {
  if (left === undefined || right === undefined || !integer.test(left) || !integer.test(right)) return 0;
  const difference = BigInt(left) - BigInt(right);
  return difference === 0n ? 0 : difference > 0n ? 1 : -1;
}

export type ParsedLabelSelector =
  | { readonly ok: true; readonly requirements: readonly LabelRequirement[] }
  | { readonly ok: false; readonly term: string };

/** Reads `a=b,c!=d,e in (f,g),!h,i>5`; refuses it with the term that is not well formed. */
export function parseLabelSelector(text: string): ParsedLabelSelector {
  const requirements: LabelRequirement[] = [];
  for (const term of splitTerms(text)) {
    const requirement = parseRequirement(term);
    if (!requirement || !isWellFormed(requirement)) return { ok: false, term };
    requirements.push(requirement);
  }
  return { ok: true, requirements };
}

/** Splits on the commas that are not inside parentheses. */
function splitTerms(text: string): string[] {
  if (text.trim() === "") return [];
  const terms: string[] = [];
  let start = 0;
  let isInside = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (character === "(") isInside = true;
    else if (character === ")") isInside = false;
    if (character !== "," || isInside) continue;
    terms.push(text.slice(start, index).trim());
    start = index + 1;
  }
  terms.push(text.slice(start).trim());
  return terms;
}

const signs = { "=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt" } as const;

function parseRequirement(term: string): LabelRequirement | undefined {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
  if (set) {
    const values = (set[3] ?? "").split(",").map((value) => value.trim());
    return { key: set[1] ?? "", operator: set[2] === "in" ? "In" : "NotIn", values };
  }
  const match = /^(!?)\s*([^\s=!<>]+)\s*(?:(==|=|!=|>|<)\s*([^\s=!<>]*))?$/.exec(term);
  if (!match || (match[1] === "!" && match[3] !== undefined)) return undefined;
  const [, not, key = "", sign, value = ""] = match;
  if (sign === undefined) return { key, operator: not === "!" ? "DoesNotExist" : "Exists", values: [] };
  return { key, operator: signs[sign as keyof typeof signs], values: [value] };
}

/** 63 characters for a name or value, 253 for the prefix of a key. */
const namePart = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
const labelKey = new RegExp(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?${namePart}$`);
const labelValue = new RegExp(`^(${namePart})?$`);

function isWellFormed({ key, operator, values }: LabelRequirement): boolean {
  if (!labelKey.test(key)) return false;
  if (operator === "Gt" || operator === "Lt") return integer.test(values[0] ?? "");
  return values.every((value) => labelValue.test(value));
}

/** A selector as kubectl prints it, in order of the keys: `a=b,c in (d,e),!f`. */
export function formatLabelSelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const equal = Object.entries(matchLabels).map(([key, value]) => ({ key, text: `${key}=${value}` }));
  const others = matchExpressions.map((one) => ({ key: one.key, text: formatExpression(one) }));
  return [...equal, ...others]
    .sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)))
    .map(({ text }) => text)
    .join(",");
}

function formatExpression({ key, operator, values = [] }: LabelExpression): string {
  const list = values.toSorted().join(",");
  switch (operator) {
    case "In":
      return `${key} in (${list})`;
    case "NotIn":
      return `${key} notin (${list})`;
    case "DoesNotExist":
      return `!${key}`;
    default:
      return key;
  }
}
