import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { ConfigError, describeError, ProtocolError, UnavailableError } from "#shared/errors";
import { createNodeRequest, fingerprintOf, fromPem, isSignedBy, splitToken, toPem } from "#shared/pki";
import type { Credentials, KeyOfRequest } from "./certificates.ts";

export interface Enrolment {
  readonly httpsUrl: string;
  readonly node: string;
  readonly timeoutMs: number;
}

const largestBody = 1024 * 1024;
/** A refusal stays one until an operator does something. */
const refusedRetryMs = 30_000;

/** The cloud issues no certificate now; asking again before `retryAfterMs` is in vain. */
export class EnrolRefused extends ConfigError {
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number) {
    super("enrol-refused", message);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Gets a certificate with a join token: the CA is fetched unverified and must be the one the token pins; from then on
 * the cloud is verified against it.
 * @throws ConfigError when token, pin or the cloud's certificate are wrong; UnavailableError when the cloud is away
 */
export async function enrol(to: Enrolment, token: string, key?: KeyOfRequest): Promise<Credentials> {
  const split = splitToken(token);
  if (!split)
    throw new ConfigError("bad-token", "Cannot enrol: the token is not one (get one with `cloudcore token`)");
  const body = await fetchCa(to);
  const der = fromPem(body.toString("latin1")) ?? body;
  const found = fingerprintOf(der);
  if (found !== split.fingerprint)
    throw new ConfigError(
      "pin-mismatch",
      `Cannot enrol: ${to.httpsUrl} has another CA (${found}) than the token pins (${split.fingerprint}); use a token of this cloudcore`,
    );
  const ca = toPem(der, "CERTIFICATE");
  return requestCertificate(to, { ca, headers: { Authorization: `Bearer ${split.jwt}` } }, key);
}

/** Gets a new certificate, identified by the one that still holds. */
export async function renew(to: Enrolment, { ca, cert, key }: Credentials): Promise<Credentials> {
  return requestCertificate(to, { ca, cert, key, headers: {} });
}

async function fetchCa(to: Enrolment): Promise<Buffer> {
  const answer = await send(to, "/ca.crt", { rejectUnauthorized: false, headers: {} });
  if (answer.status === 200) return answer.body;
  throw new UnavailableError("ca-refused", `Cannot get ${to.httpsUrl}/ca.crt: it answers ${answer.status}`);
}

async function requestCertificate(
  to: Enrolment,
  options: SendOptions & { readonly ca: string },
  kept?: KeyOfRequest,
): Promise<Credentials> {
  const wanted = await createNodeRequest(to.node, kept?.key);
  kept?.keep(wanted.key);
  const answer = await send(to, "/edge.crt", {
    ...options,
    headers: { ...options.headers, NodeName: to.node },
    body: wanted.der,
  });
  if (answer.status !== 200) throw refused(to, answer);
  const der = fromPem(answer.body.toString("latin1")) ?? answer.body;
  const cert = toPem(der, "CERTIFICATE");
  try {
    if (isSignedBy(cert, options.ca)) return { ca: options.ca, cert, key: wanted.key };
  } catch (cause) {
    throw new ProtocolError(
      "bad-certificate",
      `${to.httpsUrl}/edge.crt answered something else than a certificate`,
      {
        cause,
      },
    );
  }
  throw new ProtocolError("bad-certificate", `${to.httpsUrl}/edge.crt answered a certificate of another CA`);
}

function refused(to: Enrolment, answer: Answer): Error {
  const said = answer.body
    .toString("utf8")
    .replaceAll(/[\p{C}\s]+/gu, " ")
    .trim()
    .slice(0, 600);
  const text = `Cannot enrol: ${to.httpsUrl}/edge.crt answers ${answer.status}: ${said}`;
  const retryAfterMs = answer.retryAfterMs ?? refusedRetryMs;
  if (answer.status === 429) return new EnrolRefused(text, retryAfterMs);
  if (answer.status !== 400 && answer.status !== 401 && answer.status !== 403)
    return new UnavailableError("enrol-failed", text);
  const hint = said.includes("cloudcore ") ? "" : " (get a new token with `cloudcore token`)";
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

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly retryAfterMs: number | undefined;
}

/** KubeEdge wants a GET with a body, which fetch refuses to send. */
async function send(to: Enrolment, path: string, { body, headers, ...tls }: SendOptions): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const url = new URL(path, to.httpsUrl);
  const call = request(
    url,
    {
      ...tls,
      method: "GET",
      agent: false,
      signal: AbortSignal.timeout(to.timeoutMs),
      headers: { ...headers, ...(body ? { "Content-Length": String(body.length) } : {}) },
    },
    (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > largestBody) call.destroy(new Error("the answer is too long"));
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

function answerOf({ statusCode = 0, headers }: IncomingMessage, chunks: readonly Buffer[]): Answer {
  const seconds = Number(headers["retry-after"]);
  return {
    status: statusCode,
    body: Buffer.concat(chunks),
    retryAfterMs: seconds > 0 ? seconds * 1000 : undefined,
  };
}

/** A failed connection told so that somebody can mend it. */
export function explainConnectError(host: string, error: unknown): Error {
  const { code, cert } = error as { code?: unknown; cert?: { subjectaltname?: unknown } };
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const names = typeof cert?.subjectaltname === "string" ? ` (it is for ${cert.subjectaltname})` : "";
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
