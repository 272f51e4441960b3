import type { KubeObject } from "#shared/kube";
import { badRequest, qualified, type Named } from "./refusal.ts";

/** What `labelSelector` and `fieldSelector` ask of an object. */
export interface Selection {
  readonly labels: readonly Requirement[];
  readonly fields: readonly FieldTerm[];
}

interface Requirement {
  readonly key: string;
  readonly operator: "in" | "notin" | "exists" | "absent" | "gt" | "lt";
  readonly values: readonly string[];
}

interface FieldTerm {
  readonly path: string;
  readonly equal: boolean;
  readonly value: string;
}

export const everything: Selection = { labels: [], fields: [] };

const namePart = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
const labelKey = new RegExp(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?${namePart}$`);
const labelValue = new RegExp(`^(${namePart})?$`);

/** @throws Refusal (BadRequest) on a selector that is not well formed. */
export function parseLabelSelector(text: string): Requirement[] {
  return splitTerms(text).map(parseRequirement);
}

/** Splits on the commas that are not inside parentheses. */
function splitTerms(text: string): string[] {
  if (text.trim() === "") return [];
  const terms: string[] = [];
  let start = 0;
  let isInside = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === "(") isInside = true;
    else if (character === ")") isInside = false;
    if (character !== "," || isInside) continue;
    terms.push(text.slice(start, at).trim());
    start = at + 1;
  }
  terms.push(text.slice(start).trim());
  return terms;
}

function parseRequirement(term: string): Requirement {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
  if (set) {
    const values = (set[3] ?? "").split(",").map((value) => value.trim());
    return checked(term, { key: set[1] ?? "", operator: set[2] === "in" ? "in" : "notin", values });
  }
  const match = /^(!?)\s*([^\s=!<>]+)\s*(?:(==|=|!=|>|<)\s*([^\s=!<>]*))?$/.exec(term);
  if (!match || (match[1] === "!" && match[3] !== undefined)) throw unparsable(term);
  const [, not, key = "", sign, value = ""] = match;
  if (sign === undefined)
    return checked(term, { key, operator: not === "!" ? "absent" : "exists", values: [] });
  const operators = { "=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt" } as const;
  return checked(term, { key, operator: operators[sign as keyof typeof operators], values: [value] });
}

function checked(term: string, requirement: Requirement): Requirement {
  const { operator, values } = requirement;
  if (!labelKey.test(requirement.key)) throw unparsable(term);
  if (operator === "gt" || operator === "lt") {
    if (!integer.test(values[0] ?? "")) throw unparsable(term);
  } else if (!values.every((value) => labelValue.test(value))) throw unparsable(term);
  return requirement;
}

function unparsable(term: string): Error {
  return badRequest(
    `unable to parse requirement: ${JSON.stringify(term.slice(0, 200))} is not a valid label selector requirement`,
  );
}

export function matchesLabels(
  requirements: readonly Requirement[],
  labels: Readonly<Record<string, string>>,
): boolean {
  return requirements.every((requirement) => {
    const { key } = requirement;
    return matchesLabel(requirement, Object.hasOwn(labels, key) ? labels[key] : undefined);
  });
}

function matchesLabel({ operator, values }: Requirement, value: string | undefined): boolean {
  switch (operator) {
    case "exists":
      return value !== undefined;
    case "absent":
      return value === undefined;
    case "in":
      return value !== undefined && values.includes(value);
    case "notin":
      return value === undefined || !values.includes(value);
    case "gt":
      return compareIntegers(value, values[0]) > 0;
    case "lt":
      return compareIntegers(value, values[0]) < 0;
  }
}

/** What fits into 64 bits, as upstream reads it. */
const integer = /^-?\d{1,19}$/;

/** Neither greater nor less when one is no integer. */
function compareIntegers(a: string | undefined, b: string | undefined): number {
  if (!integer.test(a ?? "") || !integer.test(b ?? "")) return 0;
  const difference = BigInt(a ?? "") - BigInt(b ?? "");
  return difference === 0n ? 0 : difference > 0n ? 1 : -1;
}

const metadataFields = ["metadata.name", "metadata.namespace"];

/** Fields a list may be selected by, beside the name and namespace that every kind has. */
const selectable: Readonly<Record<string, readonly string[]>> = {
  pods: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
  ],
  nodes: ["spec.unschedulable"],
  namespaces: ["status.phase", "name"],
  secrets: ["type"],
  services: ["spec.clusterIP", "spec.type"],
  events: [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
  ],
  "events.events.k8s.io": ["reason", "regarding.name", "regarding.kind", "regarding.namespace", "type"],
  replicationcontrollers: ["status.replicas"],
  "replicasets.apps": ["status.replicas"],
  "jobs.batch": ["status.successful"],
};

/** Fields whose absence reads as another value than the empty string. */
const absentValues: Readonly<Record<string, string>> = {
  "spec.unschedulable": "false",
  "spec.hostNetwork": "false",
  "status.replicas": "0",
};

/** @throws Refusal (BadRequest) naming a field that cannot be selected by. */
export function parseFieldSelector(
  type: Named & { readonly version: string },
  text: string,
  labelSelector: string,
): FieldTerm[] {
  const terms = splitFieldTerms(text)
    .filter((term) => term.trim() !== "")
    .map((term) => parseFieldTerm(term, text));
  const known = selectable[qualified(type)] ?? [];
  for (const { path } of terms) {
    if (metadataFields.includes(path) || known.includes(path)) continue;
    const resource = `${type.group}/${type.version}, Resource=${type.plural}`;
    const query = `label selector "${labelSelector}", field selector "${text}"`;
    throw badRequest(`Unable to find "${resource}" that match ${query}: field label not supported: ${path}`);
  }
  return terms;
}

/** Splits on the commas that no backslash escapes; a backslash may be escaped itself. */
function splitFieldTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === ",") {
      terms.push(text.slice(start, at));
      start = at + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function parseFieldTerm(term: string, whole: string): FieldTerm {
  const match = /^([^=!]+)(==|=|!=)(.*)$/s.exec(term);
  if (!match) throw badRequest(`invalid selector: '${whole}'; can't understand '${term}'`);
  return { path: (match[1] ?? "").trim(), equal: match[2] !== "!=", value: unescapeField(match[3] ?? "") };
}

/** As kube-apiserver: what is not escaped where it has to be is no value. */
function unescapeField(text: string): string {
  const rest = text.replaceAll(/\\[\\,=]/g, "");
  const wrong = /\\.?|[,=]/s.exec(rest)?.[0];
  if (wrong?.startsWith("\\"))
    throw badRequest(`invalid field selector: invalid escape sequence in value: ${wrong}`);
  if (wrong !== undefined) throw badRequest(`invalid field selector: unescaped character in value: ${wrong}`);
  return text.replace(/\\([\\,=])/g, "$1");
}

export function matchesFields(terms: readonly FieldTerm[], object: KubeObject): boolean {
  return terms.every((term) => (readField(object, term.path) === term.value) === term.equal);
}

function readField(object: KubeObject, path: string): string {
  if (path === "name") return object.metadata.name ?? "";
  if (path === "source" || path === "reportingComponent") {
    const source = readPath(object, "source.component");
    return source === "" ? readPath(object, "reportingComponent") : source;
  }
  if (path === "status.podIPs") return readPath(object, "status.podIP");
  if (path === "status.successful") return readPath(object, "status.succeeded") || "0";
  return readPath(object, path) || (absentValues[path] ?? "");
}

function readPath(object: unknown, path: string): string {
  let at = object;
  for (const part of path.split(".")) {
    if (typeof at !== "object" || at === null) return "";
    at = (at as Record<string, unknown>)[part];
  }
  if (typeof at === "string") return at;
  return typeof at === "number" || typeof at === "boolean" ? String(at) : "";
}

export function selects(selection: Selection, object: KubeObject): boolean {
  return (
    matchesFields(selection.fields, object) && matchesLabels(selection.labels, object.metadata.labels ?? {})
  );
}

/** JSON fragments that the text of every selected object holds: a cheap look before parsing. */
export function fragmentsOf(selection: Selection): string[] {
  const labels = selection.labels
    .filter(({ operator, values }) => operator === "exists" || (operator === "in" && values.length === 1))
    .map(({ key, values }) =>
      values.length === 1 ? `${JSON.stringify(key)}:${JSON.stringify(values[0])}` : JSON.stringify(key),
    );
  const fields = selection.fields
    .filter(({ path, equal, value }) => equal && value !== "" && absentValues[path] === undefined)
    .filter(({ path }) => path !== "status.successful")
    .map(({ value }) => value)
    .map((value) => JSON.stringify(value));
  return [...labels, ...fields];
}

/** The name an equality on `metadata.name` asks for. */
export function selectedName(selection: Selection): string | undefined {
  return selection.fields.find(({ path, equal }) => equal && path === "metadata.name")?.value;
}
