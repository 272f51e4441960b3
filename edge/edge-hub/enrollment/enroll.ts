import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { ConfigError, describeError, ProtocolError, UnavailableError } from "#shared/errors";
import { recordOf } from "#shared/json";
import { createNodeRequest, fingerprintOf, fromPem, isSignedBy, splitToken, toPem } from "#shared/pki";
import type { LinkCredentials } from "./certificates.ts";
import type { RequestKey } from "./joining.ts";

export interface EnrollmentTarget {
  readonly httpsUrl: string;
  /** name of this node */
  readonly node: string;
  readonly timeoutMs: number;
}

/** A CA or a certificate has a few KB, with its chain some more. */
const largestBodyBytes = 1024 * 1024;
/** A refusal holds until an operator does something. */
const refusedRetryMs = 30_000;

/** The cloud issues no certificate now, and will not before `retryAfterMs`. */
export class EnrolRefused extends ConfigError {
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number) {
    super("enroll-refused", message);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Requests a certificate with a join token, as KubeEdge's edgehub does: the CA is fetched unverified and must be the one
 * that the token pins; from then on the cloud is verified against it.
 * @throws ConfigError when token, pin or the cloud's certificate are wrong; UnavailableError when the cloud cannot be reached
 */
export async function enroll(
  target: EnrollmentTarget,
  token: string,
  key?: RequestKey,
): Promise<LinkCredentials> {
  const split = splitToken(token);
  if (!split)
    throw new ConfigError(
      "bad-token",
      "Cannot enroll: the token is not one (get one with `cloudcore token`)",
    );
  const body = await fetchCa(target);
  const der = fromPem(body.toString("latin1")) ?? body;
  const found = fingerprintOf(der);
  if (found !== split.fingerprint)
    throw new ConfigError(
      "pin-mismatch",
      `Cannot enroll: ${target.httpsUrl} has another CA (${found}) than the token pins (${split.fingerprint}); use a token of this cloudcore`,
    );
  const ca = toPem(der, "CERTIFICATE");
  return requestCertificate(target, { ca, headers: { Authorization: `Bearer ${split.jwt}` } }, key);
}

/**
 * Requests a new certificate, authenticated by the present one.
 * @throws as `enroll`
 */
export async function renew(
  target: EnrollmentTarget,
  { ca, cert, key }: LinkCredentials,
): Promise<LinkCredentials> {
  return requestCertificate(target, { ca, cert, key, headers: {} });
}

async function fetchCa(target: EnrollmentTarget): Promise<Buffer> {
  const answer = await send(target, "/ca.crt", { rejectUnauthorized: false, headers: {} });
  if (answer.status === 200) return answer.body;
  throw new UnavailableError(
    "ca-refused",
    `Cannot get ${target.httpsUrl}/ca.crt: it answers ${answer.status}`,
  );
}

async function requestCertificate(
  target: EnrollmentTarget,
  options: SendOptions & { readonly ca: string },
  kept?: RequestKey,
): Promise<LinkCredentials> {
  const certificateRequest = await createNodeRequest(target.node, kept?.key);
  kept?.keep(certificateRequest.key);
  const answer = await send(target, "/edge.crt", {
    ...options,
    headers: { ...options.headers, NodeName: target.node },
    body: certificateRequest.der,
  });
  if (answer.status !== 200) throw refusalOf(target, answer);
  const der = fromPem(answer.body.toString("latin1")) ?? answer.body;
  const cert = toPem(der, "CERTIFICATE");
  if (isIssuedBy(cert, options.ca, target)) return { ca: options.ca, cert, key: certificateRequest.key };
  throw new ProtocolError(
    "bad-certificate",
    `${target.httpsUrl}/edge.crt answered a certificate of another CA`,
  );
}

/** @throws ProtocolError when it is no certificate */
function isIssuedBy(cert: string, ca: string, { httpsUrl }: EnrollmentTarget): boolean {
  try {
    return isSignedBy(cert, ca);
  } catch (cause) {
    throw new ProtocolError(
      "bad-certificate",
      `${httpsUrl}/edge.crt answered something else than a certificate`,
      { cause },
    );
  }
}

function refusalOf(target: EnrollmentTarget, answer: EnrollmentAnswer): Error {
  const reason = answer.body
    .toString("utf8")
    .replaceAll(/[\p{C}\s]+/gu, " ")
    .trim()
    .slice(0, 600);
  const text = `Cannot enroll: ${target.httpsUrl}/edge.crt answers ${answer.status}: ${reason}`;
  const retryAfterMs = answer.retryAfterMs ?? refusedRetryMs;
  if (answer.status === 429) return new EnrolRefused(text, retryAfterMs);
  if (answer.status !== 400 && answer.status !== 401 && answer.status !== 403)
    return new UnavailableError("enroll-failed", text);
  const hint = reason.includes("cloudcore ") ? "" : " (get a new token with `cloudcore token`)";
  return new EnrolRefused(`${text}${hint}`, retryAfterMs);
}

interface SendOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized?: boolean;
  readonly body?: Uint8Array;
}

interface EnrollmentAnswer {
  readonly status: number;
  readonly body: Buffer;
  readonly retryAfterMs: number | undefined;
}

/** KubeEdge wants a GET with a body, which fetch refuses to send. */
async function send(
  target: EnrollmentTarget,
  path: string,
  { body, headers, ...tls }: SendOptions,
): Promise<EnrollmentAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<EnrollmentAnswer>();
  const url = new URL(path, target.httpsUrl);
  const call = request(
    url,
    {
      ...tls,
      method: "GET",
      agent: false,
      signal: AbortSignal.timeout(target.timeoutMs),
      headers: { ...headers, ...(body ? { "Content-Length": String(body.length) } : {}) },
    },
    (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > largestBodyBytes) call.destroy(new Error("the answer is too long"));
        else chunks.push(chunk);
      });
      response.on("end", () => resolve(answerOf(response, chunks)));
      response.on("error", reject);
    },
  );
  call.on("error", reject);
  call.end(body ? Buffer.from(body) : undefined);
  try {
    return await promise;
  } catch (error) {
    throw explainConnectError(url.host, error);
  }
}

function answerOf({ statusCode = 0, headers }: IncomingMessage, chunks: readonly Buffer[]): EnrollmentAnswer {
  const seconds = Number(headers["retry-after"]);
  return {
    status: statusCode,
    body: Buffer.concat(chunks),
    retryAfterMs: seconds > 0 ? seconds * 1000 : undefined,
  };
}

/** A failed connection, explained so that an operator can fix it. */
export function explainConnectError(host: string, error: unknown): Error {
  const { code, cert } = recordOf(error);
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    // Node's TLS errors carry the certificate they are about.
    const altNames = recordOf(cert)["subjectaltname"];
    const names = typeof altNames === "string" ? ` (it is for ${altNames})` : "";
    return new ConfigError(
      "wrong-server-name",
      `The certificate of cloudcore is not for "${host}"${names}: add the address to cloudhub's advertise-address or dns-names, or use one of the certificate's in edgehub.server`,
      { cause: error },
    );
  }
  return new UnavailableError("cloud-away", `Cannot reach cloudcore at ${host}: ${describeError(error)}`, {
    cause: error,
  });
}
