import { PodRefusal, refusePod, type PodLogsRequest } from "#shared/pod-streams";
import type { ProcessStreams } from "#shared/remote-command";

/** What a log is asked for beside its container (`v1.PodLogOptions`). */
export type LogOptions = Omit<PodLogsRequest, "kind" | "container" | "namespace" | "name" | "uid">;

/** Of one request: a WebSocket has a pair of channels for each, and a byte for their number. */
const mostPorts = 64;

/** @throws PodRefusal (BadRequest, Invalid) */
export function readLogOptions(query: URLSearchParams, pod: string): LogOptions {
  const options = {
    follow: readFlag(query, "follow"),
    previous: readFlag(query, "previous"),
    timestamps: readFlag(query, "timestamps"),
    ...readNumber(query, "tailLines"),
    ...readNumber(query, "limitBytes"),
    ...readNumber(query, "sinceSeconds"),
    ...readTime(query),
    ...sourceOf(query),
  };
  const errors = errorsOf(options);
  if (errors.length === 0) return options;
  throw invalid(pod, errors);
}

/** A `StatusCause` of a field. */
interface FieldError {
  readonly reason: string;
  readonly field: string;
  readonly message: string;
}

function invalid(name: string, causes: readonly FieldError[]): PodRefusal {
  const texts = causes.map(({ field, message }) => `${field}: ${message}`);
  const list = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  const message = `PodLogOptions ${JSON.stringify(name)} is invalid: ${list}`;
  return new PodRefusal(422, "Invalid", message, { name, kind: "PodLogOptions", causes: [...causes] });
}

/** As `ValidatePodLogOptions` of Kubernetes. */
function errorsOf(options: LogOptions): FieldError[] {
  const { tailLines = 0, limitBytes = 1, sinceSeconds = 1 } = options;
  const hasTwoTimes = options.sinceTime !== undefined && options.sinceSeconds !== undefined;
  return [
    ...(tailLines < 0 ? [tooSmall("tailLines", tailLines, "or equal to ")] : []),
    ...(limitBytes < 1 ? [tooSmall("limitBytes", limitBytes)] : []),
    ...(hasTwoTimes ? [twoTimes] : []),
    ...(sinceSeconds < 1 ? [tooSmall("sinceSeconds", sinceSeconds)] : []),
  ];
}

/** The streams of `v1.PodExecOptions` and `v1.PodAttachOptions`. @throws PodRefusal (BadRequest) when none is asked for */
export function readProcessStreams(query: URLSearchParams): ProcessStreams {
  const tty = readFlag(query, "tty");
  const stdin = readFlag(query, "stdin");
  const stdout = readFlag(query, "stdout");
  // A terminal has one output.
  const stderr = readFlag(query, "stderr") && !tty;
  if (!stdin && !stdout && !stderr)
    throw refusePod.badRequest("you must specify at least 1 of stdin, stdout, stderr");
  return { stdin, stdout, stderr, tty };
}

/** Ports of a WebSocket; on SPDY each stream names its own. @throws PodRefusal (BadRequest) */
export function readPorts(query: URLSearchParams): readonly number[] {
  const ports = query.getAll("ports").flatMap((text) => text.split(","));
  const numbers = ports.filter((text) => text !== "").map(Number);
  if (numbers.length > mostPorts) throw refusePod.badRequest(`at most ${mostPorts} ports may be forwarded`);
  const wrong = numbers.findIndex((port) => !isPort(port));
  if (wrong >= 0) throw refusePod.badRequest(`unable to parse "${ports[wrong]}" as a port`);
  return numbers;
}

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port <= 65_535;
}

function readFlag(query: URLSearchParams, name: string): boolean {
  return ["", "1", "true"].includes(query.get(name)?.toLowerCase() ?? "false");
}

type NumberName = "tailLines" | "limitBytes" | "sinceSeconds";

function readNumber(query: URLSearchParams, name: NumberName): { readonly [key in NumberName]?: number } {
  const text = query.get(name) ?? "";
  if (text === "") return {};
  const value = Number(text);
  if (/^-?\d+$/.test(text) && Number.isSafeInteger(value)) return { [name]: value };
  throw refusePod.badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
}

function readTime(query: URLSearchParams): { readonly sinceTime?: string } {
  const text = query.get("sinceTime") ?? "";
  if (text === "") return {};
  if (/^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text))) return { sinceTime: text };
  throw refusePod.badRequest(`sinceTime: ${JSON.stringify(text)} is not a time of RFC 3339`);
}

/** `stream` of Kubernetes 1.32: one of the outputs alone. @throws PodRefusal (BadRequest) */
function sourceOf(query: URLSearchParams): { readonly source?: "stdout" | "stderr" } {
  const stream = query.get("stream") ?? "";
  if (stream === "" || stream === "All") return {};
  if (stream === "Stdout") return { source: "stdout" };
  if (stream === "Stderr") return { source: "stderr" };
  throw refusePod.badRequest(
    `stream: Unsupported value: "${stream}": supported values: "All", "Stderr", "Stdout"`,
  );
}

const twoTimes: FieldError = {
  reason: "FieldValueForbidden",
  field: "",
  message: "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
};

function tooSmall(field: string, value: number, orEqual = ""): FieldError {
  const message = `Invalid value: ${value}: must be greater than ${orEqual}0`;
  return { reason: "FieldValueInvalid", field, message };
}
