import { expect, test } from "bun:test";
import {
  createAuthority,
  createNodeRequest,
  createToken,
  fingerprintOf,
  inspectToken,
  isSignedBy,
  loadAuthority,
  readCertificate,
  splitToken,
} from "#shared/pki";

const nowMs = Date.UTC(2026, 5, 1);

test("Authority issues a server certificate with its hosts after a round trip through PEM", async () => {
  const made = await createAuthority({ commonName: "KubeEdge", days: 3650, nowMs });
  const ca = await loadAuthority({ cert: made.certPem, key: made.keyPem });
  const pair = await ca.issue({
    subject: { commonName: "cloudcore", organizations: ["KubeEdge"] },
    hosts: ["127.0.0.1", "cloud.example"],
    usage: "server",
    days: 365,
    nowMs,
  });
  expect(readCertificate(pair.cert)).toEqual({
    commonName: "cloudcore",
    organizations: ["KubeEdge"],
    hosts: ["127.0.0.1", "cloud.example"],
    notBeforeMs: nowMs - 3_600_000,
    notAfterMs: nowMs + 365 * 86_400_000,
    issuer: "CN=KubeEdge",
  });
  expect(isSignedBy(pair.cert, made.certPem)).toBe(true);
});

test("Authority signs an edge request with the given subject", async () => {
  const ca = await createAuthority({ commonName: "KubeEdge", days: 10, nowMs });
  const request = await createNodeRequest("edge-1");
  const der = await ca.signRequest(request.der, {
    subject: { commonName: "system:node:edge-1", organizations: ["system:nodes"] },
    days: 5,
    nowMs,
  });
  const { commonName, organizations } = readCertificate(der);
  expect({ commonName, organizations, signed: isSignedBy(der, ca.certDer) }).toEqual({
    commonName: "system:node:edge-1",
    organizations: ["system:nodes"],
    signed: true,
  });
  expect(
    ca.signRequest(new Uint8Array([1, 2]), { subject: { commonName: "x" }, days: 1, nowMs }),
  ).rejects.toThrow("not a DER PKCS#10 request");
});

test("inspectToken accepts a fresh token and distinguishes expired, forged and malformed ones", async () => {
  const ca = await createAuthority({ commonName: "KubeEdge", days: 10, nowMs });
  const token = createToken(ca, nowMs + 1000);
  const split = splitToken(token);
  const jwt = split?.jwt ?? "";
  expect(split?.fingerprint).toBe(fingerprintOf(ca.certDer));
  expect([
    inspectToken(jwt, ca.keyPem, nowMs).verdict,
    inspectToken(jwt, ca.keyPem, nowMs + 1000).verdict,
    inspectToken(`${jwt.slice(0, -2)}xx`, ca.keyPem, nowMs).verdict,
    inspectToken("a.b", ca.keyPem, nowMs).verdict,
  ]).toEqual(["valid", "expired", "bad-signature", "malformed"]);
  expect(splitToken("only.three.parts")).toBeUndefined();
});

test("inspectToken gives the id of a token only when its signature holds, and KubeEdge's tokens have none", async () => {
  const ca = await createAuthority({ commonName: "KubeEdge", days: 10, nowMs });
  const jwtOf = (token: string): string => splitToken(token)?.jwt ?? "";
  const own = jwtOf(createToken(ca, nowMs + 1000, "abc"));
  const claims = Buffer.from(JSON.stringify({ exp: nowMs / 1000 + 9, jti: "xyz" })).toString("base64url");
  const forged = [own.split(".")[0], claims, own.split(".")[2]].join(".");
  expect(
    [own, jwtOf(createToken(ca, nowMs + 1000)), forged, "x".repeat(5000)].map((jwt) =>
      inspectToken(jwt, ca.keyPem, nowMs),
    ),
  ).toEqual([
    { verdict: "valid", id: "abc" },
    { verdict: "valid", id: undefined },
    { verdict: "bad-signature" },
    { verdict: "malformed" },
  ]);
});
