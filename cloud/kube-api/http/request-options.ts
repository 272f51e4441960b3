import type { FieldValidation } from "#cloud/kube-api/kinds";
import type { DeleteOptions } from "#cloud/kube-api/objects";
import { refusals } from "#cloud/kube-api/status";
import type { Clock } from "#shared/clock";
import { isObject, type Json, type JsonObject } from "#shared/json";
import { readBody } from "./request-body.ts";

/** A request, for the options beside its object: query parameters and the field manager. */
export interface OptionSource {
  readonly query: URLSearchParams;
  readonly request: Request;
}

/** Options of a write (`dryRun`, `fieldValidation`, `fieldManager`). */
export interface WriteQuery {
  readonly dryRun: boolean;
  readonly validation: FieldValidation;
  readonly manager: string;
}

/** @throws Refusal (Invalid) */
export function readWriteOptions(source: OptionSource): WriteQuery {
  const { query, request } = source;
  const kind = optionKinds[request.method] ?? "CreateOptions";
  return {
    dryRun: isDryRun(query.getAll("dryRun"), kind),
    validation: readValidation(query, kind),
    manager: readManager(source, kind),
  };
}

const optionKinds: Readonly<Record<string, string>> = { PATCH: "PatchOptions", PUT: "UpdateOptions" };

/** @throws Refusal (Invalid): a value that is not understood must not become a write */
function isDryRun(given: readonly string[], kind: string): boolean {
  if (given.every((value) => value === "All")) return given.length > 0;
  const shown = given.map((value) => JSON.stringify(value)).join(", ");
  throw invalidOption(kind, {
    reason: "FieldValueNotSupported",
    message: `Unsupported value: []string{${shown}}: supported values: "All"`,
    field: "dryRun",
  });
}

function invalidOption(
  kind: string,
  cause: { readonly reason: string; readonly message: string; readonly field: string },
): Error {
  const type = { group: "meta.k8s.io", plural: kind.toLowerCase(), kind: `${kind}.meta.k8s.io` };
  return refusals.unprocessable(type, "", cause);
}

const validations = ["Ignore", "Warn", "Strict"] as const;

function readValidation(query: URLSearchParams, kind: string): FieldValidation {
  const given = query.get("fieldValidation") ?? "";
  const validation = given === "" ? "Warn" : validations.find((one) => one === given);
  if (validation !== undefined) return validation;
  throw invalidOption(kind, {
    reason: "FieldValueNotSupported",
    message: `Unsupported value: ${JSON.stringify(given)}: supported values: "", "Ignore", "Strict", "Warn"`,
    field: "fieldValidation",
  });
}

/** As FieldManagerMaxLength of apimachinery. */
const longestManager = 128;

function readManager({ query, request }: OptionSource, kind: string): string {
  const given = query.get("fieldManager");
  if (given === null)
    return (request.headers.get("user-agent") ?? "unknown").split("/", 1)[0]?.slice(0, longestManager) ?? "";
  if (given.length > longestManager)
    throw invalidOption(kind, {
      reason: "FieldValueTooLong",
      message: `Too long: must have at most ${longestManager} bytes`,
      field: "fieldManager",
    });
  if (/[^\u0020-\u007e\u00a1-\uffff]/.test(given))
    throw invalidOption(kind, {
      reason: "FieldValueInvalid",
      message: `Invalid value: ${JSON.stringify(given)}: should only contain printable characters`,
      field: "fieldManager",
    });
  return given;
}

/**
 * The revision of a list or a get by `resourceVersion`: with `resourceVersionMatch=Exact` that one, else undefined for the newest,
 * which is not older. @throws Refusal (Expired, Invalid, Timeout, or without a reason when it is malformed)
 */
export function askedRevision(
  query: URLSearchParams,
  kept: { readonly oldest: number; readonly newest: number },
): number | undefined {
  const text = query.get("resourceVersion") ?? "";
  const match = query.get("resourceVersionMatch") ?? "";
  checkMatch(match, text);
  const revision = text === "" ? 0 : readRevision(text);
  if (revision > kept.newest) throw refusals.revisionTooLarge(revision, kept.newest);
  if (match !== "Exact") return undefined;
  if (revision < kept.oldest)
    throw refusals.expired(`too old resource version: ${revision} (${kept.oldest})`);
  return revision;
}

const matches = ["Exact", "NotOlderThan"];

function checkMatch(match: string, version: string): void {
  if (match === "") return;
  const known = matches.map((one) => JSON.stringify(one)).join(", ");
  const problem = !matches.includes(match)
    ? `Unsupported value: ${JSON.stringify(match)}: supported values: ${known}`
    : version === ""
      ? "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
      : match === "Exact" && version === "0"
        ? 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        : undefined;
  if (problem !== undefined) throw invalidListOption("resourceVersionMatch", problem);
}

function invalidListOption(field: string, message: string): Error {
  const type = { group: "meta.k8s.io", plural: "listoptions", kind: "ListOptions.meta.k8s.io" };
  const reason = message.startsWith("Unsupported") ? "FieldValueNotSupported" : "FieldValueForbidden";
  return refusals.unprocessable(type, "", { reason, message, field });
}

const initialEvents = "sendInitialEvents";

/** Only a watch sends what there is as events. @throws Refusal (Invalid) */
export function checkListOptions(query: URLSearchParams): void {
  if (!query.has(initialEvents)) return;
  throw invalidListOption(initialEvents, `Forbidden: ${initialEvents} is forbidden for list`);
}

/** @throws Refusal (Invalid) for options that go together in lists only (`validateWatchOptions`) */
export function checkWatchOptions(query: URLSearchParams): void {
  const match = query.get("resourceVersionMatch") ?? "";
  const isInitial = query.has(initialEvents);
  if (match === (isInitial ? "NotOlderThan" : "")) return;
  const problem = !isInitial
    ? `resourceVersionMatch is forbidden for watch unless ${initialEvents} is provided`
    : `${initialEvents} requires setting resourceVersionMatch to NotOlderThan`;
  throw invalidListOption("resourceVersionMatch", `Forbidden: ${problem}`);
}

/** @throws Refusal as kube-apiserver: 500 without a reason */
export function readRevision(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const shown = JSON.stringify(text.slice(0, 100));
  throw refusals.unknown(
    `resourceVersion: Invalid value: ${shown}: strconv.ParseUint: parsing ${shown}: invalid syntax`,
  );
}

/** Items of a page; 0 when all are wanted. @throws Refusal */
export function readLimit(text: string): number {
  if (!/^(-?\d{1,18})?$/.test(text))
    throw refusals.badRequest(`limit: ${JSON.stringify(text)} is not a whole number`);
  return Number(text);
}

/** Options of a deletion, from its body and its query. @throws Refusal */
export async function readDeleteOptions(
  { query, request }: OptionSource,
  clock: Pick<Clock, "after">,
): Promise<DeleteOptions> {
  const body = await readBody(request, { clock, optional: true });
  return deleteOptionsOf(isObject(body) ? body : {}, query);
}

/** @throws Refusal */
export function deleteOptionsOf(given: JsonObject, query = new URLSearchParams()): DeleteOptions {
  const asked = query.getAll("dryRun");
  const dryRun = isDryRun(asked.length > 0 ? asked : textsOf(given["dryRun"]), "DeleteOptions");
  const grace = seconds(query.get("gracePeriodSeconds") ?? given["gracePeriodSeconds"]);
  const policy = policyOf(query.get("propagationPolicy") ?? given["propagationPolicy"]);
  if (policy !== undefined && typeof given["orphanDependents"] === "boolean")
    throw invalidOption("DeleteOptions", {
      reason: "FieldValueInvalid",
      message: `Invalid value: "${policy}": orphanDependents and deletionPropagation cannot be both set`,
      field: "propagationPolicy",
    });
  const preconditions = preconditionsOf(given["preconditions"]);
  return {
    ...(grace !== undefined && { gracePeriodSeconds: grace }),
    ...(policy !== undefined && { propagationPolicy: policy }),
    ...(preconditions && { preconditions }),
    dryRun: dryRun ? ["All"] : [],
  };
}

/** Seconds; int64 upstream, but later dates do not exist (deletion.ts). */
const longestGrace = 2 ** 31;

function seconds(value: Json | undefined): number | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const number = Number(value);
  if (!Number.isSafeInteger(number) || Math.abs(number) > longestGrace || typeof value === "object")
    throw refusals.badRequest(`gracePeriodSeconds: ${JSON.stringify(value)} is not a number of seconds`);
  return number;
}

const policies = ["Background", "Foreground", "Orphan"] as const;

function policyOf(value: Json | undefined): DeleteOptions["propagationPolicy"] {
  if (value === undefined || value === null || value === "") return undefined;
  const policy = policies.find((one) => one === value);
  if (policy !== undefined) return policy;
  const supported = policies.map((one) => JSON.stringify(one)).join(", ");
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported}`;
  const type = { group: "meta.k8s.io", plural: "deleteoptions", kind: "DeleteOptions.meta.k8s.io" };
  const cause = { reason: "FieldValueNotSupported", message, field: "propagationPolicy" };
  throw refusals.unprocessable(type, "", cause);
}

function preconditionsOf(value: Json | undefined): DeleteOptions["preconditions"] {
  if (!isObject(value)) return undefined;
  const { uid, resourceVersion } = value;
  return {
    ...(typeof uid === "string" && { uid }),
    ...(typeof resourceVersion === "string" && { resourceVersion }),
  };
}

function textsOf(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
