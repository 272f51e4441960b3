import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { fromPem } from "./pem.ts";

/**
 * A KubeEdge join token: `<hex sha256 of the CA's DER>.<JWT>`, the JWT HS256 with only `exp` (seconds),
 * keyed with the raw DER bytes of the CA's private key.
 */
export function createToken(
  ca: { readonly fingerprint: string; readonly keyPem: string },
  expiresMs: number,
): string {
  const header = base64url(JSON.stringify({ alg: "HS256", typ: "JWT" }));
  const claims = base64url(JSON.stringify({ exp: Math.floor(expiresMs / 1000) }));
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

/** Checks the JWT part of a join token. */
export function verifyToken(jwt: string, keyPem: string, nowMs: number): TokenVerdict {
  const [header, claims, signature, ...rest] = jwt.split(".");
  if (header === undefined || claims === undefined || signature === undefined || rest.length > 0)
    return "malformed";
  const right = Buffer.from(sign(`${header}.${claims}`, keyPem));
  const given = Buffer.from(signature);
  if (right.length !== given.length || !timingSafeEqual(right, given)) return "bad-signature";
  const expires = readExpiry(claims);
  if (expires === undefined) return "malformed";
  return nowMs >= expires * 1000 ? "expired" : "valid";
}

/** Hex SHA-256 of DER bytes. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

function readExpiry(claims: string): number | undefined {
  try {
    const value = JSON.parse(Buffer.from(claims, "base64url").toString()) as { exp?: unknown };
    return typeof value.exp === "number" ? value.exp : undefined;
  } catch {
    return undefined;
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
