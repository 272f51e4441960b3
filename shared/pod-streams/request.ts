import { asRecord } from "#shared/json";
import type { StreamHead } from "#shared/streams";
import { refusePod } from "./refusal.ts";

/** The pod of a stream. With a uid it has to be this very one, and not a later pod of the same name. */
export interface PodTarget {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
}

/** `v1.PodLogOptions`. */
export interface PodLogsRequest extends PodTarget {
  readonly kind: "logs";
  readonly container: string;
  readonly follow?: boolean;
  /** The log of the run before this one. */
  readonly previous?: boolean;
  readonly timestamps?: boolean;
  /** At most one of these two. */
  readonly sinceSeconds?: number;
  /** RFC 3339 */
  readonly sinceTime?: string;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** One of the two streams of the container alone; both by default. */
  readonly source?: "stdout" | "stderr";
}

/** Which streams of a process are connected, as `v1.PodExecOptions` and `v1.PodAttachOptions` have them. */
export interface ProcessRequest extends PodTarget {
  readonly container: string;
  readonly stdin: boolean;
  readonly stdout: boolean;
  /** Without a meaning when `tty` is set: a terminal has one output. */
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** `v1.PodExecOptions`. */
export interface PodExecRequest extends ProcessRequest {
  readonly kind: "exec";
  readonly command: readonly string[];
}

/** `v1.PodAttachOptions`. */
export interface PodAttachRequest extends ProcessRequest {
  readonly kind: "attach";
}

/** One TCP connection to a port of the pod. */
export interface PodForwardRequest extends PodTarget {
  readonly kind: "port-forward";
  readonly port: number;
}

/** One HTTP request to a server in the pod; its head is in that of the stream (`RequestHead`). */
export interface PodProxyRequest extends PodTarget {
  readonly kind: "proxy";
  readonly scheme: "http" | "https";
  readonly port: number;
}

/**
 * What a stream to a pod is for. The node answers with a block first (`askPod`), and then:
 * - logs: the bytes of the log from the node; the caller writes nothing and may end its direction at any time
 * - exec, attach: frames of channels in both directions (`encodeChannel`, `readChannels`). The node's last frame is of channel
 *   "error", a `Status` with the outcome, and then it ends its direction
 * - port-forward: the bytes of the connection; ending a direction ends that of the connection
 * - proxy: there is no such block, request and response pass as with `fetchOver`; a refusal is a response
 * Resetting the stream ends all, and so does a link that is lost: both ends see the reason.
 */
export type PodStreamRequest =
  PodLogsRequest | PodExecRequest | PodAttachRequest | PodForwardRequest | PodProxyRequest;

/** The service of these streams in their heads. */
export const podService = "pod";

/** The head with which a stream to the node is opened (topic `stream.open`). */
export function podStreamHead(request: PodStreamRequest): StreamHead {
  return { service: podService, request };
}

type Fields = Readonly<Record<string, unknown>>;

/** Reads the head that a peer sent. @throws PodRefusal when it is not valid */
export function readPodStreamHead(head: StreamHead): PodStreamRequest {
  const fields = asRecord(head["request"]);
  if (!fields) throw refusePod.badRequest("expected a request for a pod in the head of the stream");
  const uid = optional(fields, "uid", isText);
  const target = {
    namespace: required(fields, "namespace", isName),
    name: required(fields, "name", isName),
    ...(uid !== undefined && { uid }),
  };
  switch (fields["kind"]) {
    case "logs":
      return { ...target, ...logsOf(fields) };
    case "exec":
      return { ...target, ...processOf(fields), kind: "exec", command: commandOf(fields) };
    case "attach":
      return { ...target, ...processOf(fields), kind: "attach" };
    case "port-forward":
      return { ...target, kind: "port-forward", port: required(fields, "port", isPort) };
    case "proxy":
      return {
        ...target,
        kind: "proxy",
        scheme: fields["scheme"] === "https" ? "https" : "http",
        port: required(fields, "port", isPort),
      };
    default:
      throw refusePod.badRequest("expected kind logs, exec, attach, port-forward or proxy");
  }
}

function logsOf(fields: Fields): Omit<PodLogsRequest, keyof PodTarget> {
  const sinceSeconds = optional(fields, "sinceSeconds", isPositive);
  const sinceTime = optional(fields, "sinceTime", isTime);
  if (sinceSeconds !== undefined && sinceTime !== undefined)
    throw refusePod.badRequest("at most one of `sinceTime` or `sinceSeconds` may be specified");
  const tailLines = optional(fields, "tailLines", isCount);
  const limitBytes = optional(fields, "limitBytes", isPositive);
  const source = optional(fields, "source", isSource);
  return {
    kind: "logs",
    container: required(fields, "container", isName),
    follow: fields["follow"] === true,
    previous: fields["previous"] === true,
    timestamps: fields["timestamps"] === true,
    ...(sinceSeconds !== undefined && { sinceSeconds }),
    ...(sinceTime !== undefined && { sinceTime }),
    ...(tailLines !== undefined && { tailLines }),
    ...(limitBytes !== undefined && { limitBytes }),
    ...(source !== undefined && { source }),
  };
}

function processOf(fields: Fields): Omit<ProcessRequest, keyof PodTarget> {
  const tty = fields["tty"] === true;
  const streams = {
    stdin: fields["stdin"] === true,
    stdout: fields["stdout"] === true,
    stderr: fields["stderr"] === true && !tty,
  };
  if (!streams.stdin && !streams.stdout && !streams.stderr)
    throw refusePod.badRequest("you must specify at least 1 of stdin, stdout, stderr");
  return { container: required(fields, "container", isName), ...streams, tty };
}

function commandOf(fields: Fields): readonly string[] {
  const command = required(fields, "command", isTexts);
  if (command.length === 0)
    throw refusePod.badRequest("you must specify at least one command for the container");
  return command;
}

function required<T>(fields: Fields, name: string, is: (value: unknown) => value is T): T {
  const value = fields[name];
  if (is(value)) return value;
  throw refusePod.badRequest(`field "${name}" of the request for a pod is missing or not valid`);
}

function optional<T>(fields: Fields, name: string, is: (value: unknown) => value is T): T | undefined {
  return fields[name] === undefined ? undefined : required(fields, name, is);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isText);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isPositive(value: unknown): value is number {
  return isCount(value) && value > 0;
}

function isPort(value: unknown): value is number {
  return isPositive(value) && value <= 65_535;
}

function isTime(value: unknown): value is string {
  return typeof value === "string" && !Number.isNaN(Date.parse(value));
}

function isSource(value: unknown): value is "stdout" | "stderr" {
  return value === "stdout" || value === "stderr";
}
