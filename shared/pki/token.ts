import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { recordOf } from "#shared/json";
import { fromPem } from "./pem.ts";

/**
 * A KubeEdge join token: `<hex sha256 of the CA's DER>.<JWT>`, the JWT HS256 with `exp` (seconds) and, in ours, `jti`
 * (which of the tokens on record it is), keyed with the raw DER bytes of the CA's private key.
 */
export function createToken(
  ca: { readonly fingerprint: string; readonly keyPem: string },
  expiresMs: number,
  id?: string,
): string {
  const header = base64url(JSON.stringify({ alg: "HS256", typ: "JWT" }));
  const exp = Math.floor(expiresMs / 1000);
  const claims = base64url(JSON.stringify({ exp, ...(id !== undefined && { jti: id }) }));
  const signed = `${header}.${claims}`;
  return `${ca.fingerprint}.${signed}.${sign(signed, ca.keyPem)}`;
}

export interface SplitToken {
  /** hex SHA-256 of the CA certificate's DER */
  readonly fingerprint: string;
  /** what goes into `Authorization: Bearer` */
  readonly jwt: string;
}

/** @returns undefined unless the text has four dot-separated parts, the first a SHA-256 */
export function splitToken(token: string): SplitToken | undefined {
  const [fingerprint, ...jwt] = token.trim().split(".");
  if (jwt.length !== 3 || !/^[0-9a-f]{64}$/.test(fingerprint ?? "")) return undefined;
  return { fingerprint: fingerprint ?? "", jwt: jwt.join(".") };
}

export type TokenVerdict = "valid" | "malformed" | "bad-signature" | "expired";

export interface InspectedToken {
  readonly verdict: TokenVerdict;
  /** undefined in tokens of KubeEdge and of our older versions; present only when the signature holds */
  readonly id?: string | undefined;
}

/** Ours are shorter by far: a stranger must not have more decoded before the signature is verified. */
const longestJwt = 1000;

/** Checks the JWT part of a join token. */
export function inspectToken(jwt: string, keyPem: string, nowMs: number): InspectedToken {
  const [header, claims, signature, ...rest] = jwt.length > longestJwt ? [] : jwt.split(".");
  if (header === undefined || claims === undefined || signature === undefined || rest.length > 0)
    return { verdict: "malformed" };
  const right = Buffer.from(sign(`${header}.${claims}`, keyPem));
  const given = Buffer.from(signature);
  if (right.length !== given.length || !timingSafeEqual(right, given)) return { verdict: "bad-signature" };
  const { exp, jti } = readClaims(claims);
  if (typeof exp !== "number") return { verdict: "malformed" };
  const id = typeof jti === "string" ? jti : undefined;
  return { verdict: nowMs >= exp * 1000 ? "expired" : "valid", id };
}

/** Hex SHA-256 of DER bytes. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

function readClaims(claims: string): { readonly exp?: unknown; readonly jti?: unknown } {
  try {
    return recordOf(JSON.parse(Buffer.from(claims, "base64url").toString()));
  } catch {
    return {};
  }
}

function sign(text: string, keyPem: string): string {
  return createHmac("sha256", fromPem(keyPem) ?? new Uint8Array())
    .update(text)
    .digest("base64url");
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}
