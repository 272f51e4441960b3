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

/** @throws Refusal (BadRequest) */
export function readWriteOptions(source: OptionSource): WriteQuery {
  const { query } = source;
  const dryRun = query.getAll("dryRun");
  if (dryRun.some((value) => value !== "All" && value !== "")) {
    throw refusals.badRequest(
      `dryRun: Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`,
    );
  }
  return { dryRun: dryRun.includes("All"), validation: readValidation(query), manager: readManager(source) };
}

const validations = ["Ignore", "Warn", "Strict"] as const;

function readValidation(query: URLSearchParams): FieldValidation {
  const given = query.get("fieldValidation") ?? "";
  const validation = given === "" ? "Warn" : validations.find((one) => one === given);
  if (validation !== undefined) return validation;
  throw refusals.badRequest(
    `fieldValidation: Unsupported value: "${given}": supported values: "Ignore", "Strict", "Warn"`,
  );
}

/** As FieldManagerMaxLength of apimachinery. */
const longestManager = 128;

function readManager({ query, request }: OptionSource): string {
  const given = query.get("fieldManager");
  if (given === null)
    return (request.headers.get("user-agent") ?? "unknown").split("/", 1)[0]?.slice(0, longestManager) ?? "";
  if (given.length > longestManager)
    throw refusals.badRequest(`fieldManager: Too long: may not be more than ${longestManager} bytes`);
  if (/[^\u0020-\u007e\u00a1-\uffff]/.test(given))
    throw refusals.badRequest(
      `fieldManager: Invalid value: ${JSON.stringify(given)}: should only contain printable characters`,
    );
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
  if (problem === undefined) return;
  const type = { group: "meta.k8s.io", plural: "listoptions", kind: "ListOptions.meta.k8s.io" };
  const reason = problem.startsWith("Unsupported") ? "FieldValueNotSupported" : "FieldValueForbidden";
  throw refusals.unprocessable(type, "", { reason, message: problem, field: "resourceVersionMatch" });
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
  const dryRun = query.getAll("dryRun");
  const grace = seconds(query.get("gracePeriodSeconds") ?? given["gracePeriodSeconds"]);
  const policy = policyOf(query.get("propagationPolicy") ?? given["propagationPolicy"]);
  const preconditions = preconditionsOf(given["preconditions"]);
  return {
    ...(grace !== undefined && { gracePeriodSeconds: grace }),
    ...(policy !== undefined && { propagationPolicy: policy }),
    ...(preconditions && { preconditions }),
    dryRun: dryRun.length > 0 ? dryRun : textsOf(given["dryRun"]),
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
