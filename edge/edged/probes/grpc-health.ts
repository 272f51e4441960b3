import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { asText } from "#shared/json";

export interface HealthTarget {
  readonly host: string;
  readonly port: number;
  /** Empty for the server as a whole. */
  readonly service: string;
}

const path = "/grpc.health.v1.Health/Check";
/** A health answer has a few bytes. */
const mostBytes = 4096;
/** HealthCheckResponse.ServingStatus */
const statuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const serving = 1;
/** Code of a server without the health service. */
const unimplemented = "12";

/**
 * Asks a gRPC server for its health (grpc.health.v1), in clear text as kubelet does. @returns the failure; undefined when it
 * serves. @throws what kept the server from answering
 */
export async function grpcHealth(target: HealthTarget, signal: AbortSignal): Promise<string | undefined> {
  // Loaded when a pod has such a probe: most nodes have none, and memory is scarce.
  const { connect } = await import("node:http2");
  const { host, port } = target;
  signal.throwIfAborted();
  const session = connect(`http://${host.includes(":") ? `[${host}]` : host}:${port}`);
  const stop = (): void => session.destroy();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await check(session, target);
  } finally {
    signal.removeEventListener("abort", stop);
    session.destroy();
  }
}

async function check(
  session: ClientHttp2Session,
  { host, port, service }: HealthTarget,
): Promise<string | undefined> {
  const failed = Promise.withResolvers<never>();
  session.on("error", failed.reject);
  session.on("close", () => failed.reject(new Error(`${host}:${port} closed the connection`)));
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": "kube-probe/1.26",
  });
  const answer = readAnswer(stream);
  stream.end(frameOf(requestOf(service)));
  return verdictOf(await Promise.race([answer, failed.promise]), service);
}

interface Answer {
  readonly message: Buffer;
  /** grpc-status and grpc-message */
  readonly code: string;
  readonly text: string;
}

async function readAnswer(stream: ClientHttp2Stream): Promise<Answer> {
  const whole = Promise.withResolvers<Answer>();
  const chunks: Buffer[] = [];
  let length = 0;
  let code = "";
  let text = "";
  const note = (headers: Record<string, unknown>): void => {
    code = asText(headers["grpc-status"]) || code;
    text = asText(headers["grpc-message"]) || text;
  };
  stream.on("response", note);
  stream.on("trailers", note);
  stream.on("error", whole.reject);
  stream.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length > mostBytes) stream.destroy(new Error("the answer is too long"));
    else chunks.push(chunk);
  });
  stream.on("end", () => whole.resolve({ message: Buffer.concat(chunks).subarray(frameHead), code, text }));
  return whole.promise;
}

function verdictOf({ message, code, text }: Answer, service: string): string | undefined {
  if (code === unimplemented)
    return `this server does not implement the grpc health protocol (grpc.health.v1.Health): ${text}`;
  if (code !== "0") return `service ${JSON.stringify(service)} answered with gRPC code ${code}: ${text}`;
  const status = statusOf(message);
  return status === serving
    ? undefined
    : `service unhealthy (responded with "${statuses[status] ?? status}")`;
}

/** Whether the message is compressed, and its length. */
const frameHead = 5;

function frameOf(message: Buffer): Buffer {
  const head = Buffer.alloc(frameHead);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** HealthCheckRequest: `string service = 1` */
function requestOf(service: string): Buffer {
  const bytes = Buffer.from(service);
  if (bytes.length === 0) return bytes;
  const lengths: number[] = [];
  let rest = bytes.length;
  for (; rest > 0x7f; rest >>>= 7) lengths.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([0x0a, ...lengths, rest]), bytes]);
}

/** HealthCheckResponse: `ServingStatus status = 1`, which is left out when it is 0. */
function statusOf(message: Buffer): number {
  return message[0] === 0x08 ? (message[1] ?? 0) : 0;
}
