import { qualified, refusals, type ResourceName } from "#cloud/kube-api/status";
import { isRecord } from "#shared/json";
import {
  meetsLabelExpressions,
  parseLabelSelector,
  type KubeObject,
  type LabelRequirement,
} from "#shared/kube";

/** Requirements of `labelSelector` and `fieldSelector`. */
export interface Selection {
  readonly labels: readonly LabelRequirement[];
  readonly fields: readonly FieldTerm[];
}

interface FieldTerm {
  readonly path: string;
  readonly equal: boolean;
  readonly value: string;
  /** Of a custom resource: it is read as the version of the request shows it, with defaults. */
  readonly custom?: true;
}

export const everything: Selection = { labels: [], fields: [] };

/** @throws Refusal (BadRequest) on a selector that is not well formed. */
export function requireLabelSelector(text: string): readonly LabelRequirement[] {
  const parsed = parseLabelSelector(text);
  if (parsed.ok) return parsed.requirements;
  const term = JSON.stringify(parsed.term.slice(0, 200));
  throw refusals.badRequest(`unable to parse requirement: ${term} is not a valid label selector requirement`);
}

const metadataFields = ["metadata.name", "metadata.namespace"];

/** Selectable fields by resource, beside name and namespace: those of the field label conversions upstream. */
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
  "events.events.k8s.io": [
    "reason",
    "regarding.apiVersion",
    "regarding.fieldPath",
    "regarding.kind",
    "regarding.name",
    "regarding.namespace",
    "regarding.resourceVersion",
    "regarding.uid",
    "reportingController",
    "type",
  ],
  replicationcontrollers: ["status.replicas"],
  "replicasets.apps": ["status.replicas"],
  "jobs.batch": ["status.successful"],
  "certificatesigningrequests.certificates.k8s.io": ["spec.signerName"],
};

/** Fields whose absence reads as another value than the empty string. */
const absentValues: Readonly<Record<string, string>> = {
  "spec.unschedulable": "false",
  "spec.hostNetwork": "false",
  "status.replicas": "0",
};

/** @throws Refusal (BadRequest) naming a field that cannot be selected by. */
export function parseFieldSelector(
  type: ResourceName & {
    readonly version: string;
    readonly custom?: { readonly selectable: readonly string[] };
  },
  text: string,
  labelSelector: string,
): FieldTerm[] {
  const terms = splitFieldTerms(text)
    .filter((term) => term.trim() !== "")
    .map((term) => parseFieldTerm(term, text));
  const known = type.custom?.selectable ?? selectable[qualified(type)] ?? [];
  for (const { path } of terms) {
    if (metadataFields.includes(path) || known.includes(path)) continue;
    const resource = `${type.group}/${type.version}, Resource=${type.plural}`;
    const query = `label selector "${labelSelector}", field selector "${text}"`;
    throw refusals.badRequest(
      `Unable to find "${resource}" that match ${query}: field label not supported: ${path}`,
    );
  }
  if (type.custom)
    return terms.map((term) => (metadataFields.includes(term.path) ? term : { ...term, custom: true }));
  return qualified(type) === "events.events.k8s.io" ? terms.map(asStored) : terms;
}

/** Events are stored with the fields of the core group. */
function asStored(term: FieldTerm): FieldTerm {
  const path = term.path
    .replace(/^regarding\./, "involvedObject.")
    .replace(/^reportingController$/, "reportingComponent");
  return { ...term, path };
}

/** Splits on the commas that no backslash escapes; a backslash may be escaped itself. */
function splitFieldTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let value = 0; value < text.length; value += 1) {
    if (text[value] === "\\") value += 1;
    else if (text[value] === ",") {
      terms.push(text.slice(start, value));
      start = value + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function parseFieldTerm(term: string, whole: string): FieldTerm {
  const match = /^([^=!]+)(==|=|!=)(.*)$/s.exec(term);
  if (!match) throw refusals.badRequest(`invalid selector: '${whole}'; can't understand '${term}'`);
  return { path: (match[1] ?? "").trim(), equal: match[2] !== "!=", value: unescapeField(match[3] ?? "") };
}

/** As kube-apiserver: what is not escaped where it has to be is no value. */
function unescapeField(text: string): string {
  const rest = text.replaceAll(/\\[\\,=]/g, "");
  const wrong = /\\.?|[,=]/s.exec(rest)?.[0];
  if (wrong?.startsWith("\\"))
    throw refusals.badRequest(`invalid field selector: invalid escape sequence in value: ${wrong}`);
  if (wrong !== undefined)
    throw refusals.badRequest(`invalid field selector: unescaped character in value: ${wrong}`);
  return text.replace(/\\([\\,=])/g, "$1");
}

/** Whether every term holds; an absent field reads as "". */
export function matchesFields(terms: readonly FieldTerm[], object: KubeObject): boolean {
  return terms.every((term) => (readField(object, term) === term.value) === term.equal);
}

function readField(object: KubeObject, { path, custom }: FieldTerm): string {
  if (custom) return readPath(object, path);
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
  let value = object;
  for (const part of path.split(".")) {
    if (!isRecord(value)) return "";
    value = value[part];
  }
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

/** Whether an object meets all requirements. */
export function selects(selection: Selection, object: KubeObject): boolean {
  return (
    matchesFields(selection.fields, object) &&
    meetsLabelExpressions(selection.labels, object.metadata.labels ?? {})
  );
}

/** JSON fragments that the text of every selected object contains: a cheap test before parsing. */
export function fragmentsOf(selection: Selection): string[] {
  const labels = selection.labels
    .filter(({ operator, values }) => operator === "Exists" || (operator === "In" && values.length === 1))
    .map(({ key, values }) =>
      values.length === 1 ? `${JSON.stringify(key)}:${JSON.stringify(values[0])}` : JSON.stringify(key),
    );
  const fields = selection.fields
    .filter(({ path, equal, value }) => equal && value !== "" && absentValues[path] === undefined)
    .filter(({ path, custom }) => path !== "status.successful" && custom === undefined)
    .map(({ value }) => value)
    .map((value) => JSON.stringify(value));
  return [...labels, ...fields];
}

/** Whether objects have to be read as the version of a request shows them, and not as they are stored. */
export function needsShown(selection: Selection): boolean {
  return selection.fields.some(({ custom }) => custom);
}

/** The value of an equality on `metadata.name`. */
export function selectedName(selection: Selection): string | undefined {
  return selection.fields.find(({ path, equal }) => equal && path === "metadata.name")?.value;
}
