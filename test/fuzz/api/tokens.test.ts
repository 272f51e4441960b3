import * as fc from "fast-check";
import { ProtocolError } from "#shared/errors";
import { createAuthority, createNodeRequest, createToken, inspectToken, splitToken } from "#shared/pki";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";
import { json, textOf } from "#internal/test/fuzz/json-values.ts";

const day = 86_400_000;
const nowMs = Date.UTC(2026, 0, 1);

/** Damage to a text or to bytes: what is put in the place of some of it. */
const damage = fc.record({ at: fc.nat(), gone: fc.nat(3), put: fc.uint8Array({ maxLength: 3 }) });

function damaged(bytes: Buffer, { at, gone, put }: { at: number; gone: number; put: Uint8Array }): Buffer {
  const place = at % (bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(place + gone)]);
}

fuzz("join tokens", async () => {
  const ca = await createAuthority({ commonName: "ca", days: 1, nowMs });
  const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = fc.tuple(json, json).map((parts) => `${parts.map(base64).join(".")}.x`);
  const garbage = fc.oneof(claims, textOf(".", "a", "=", "-", " ", ca.fingerprint), fc.string());
  return fc.property(
    fc.integer({ min: -day, max: day }),
    fc.uuid(),
    damage,
    garbage,
    (leftMs, id, change, text) => {
      const token = createToken(ca, nowMs + leftMs, id);
      const { jwt = "" } = splitToken(token) ?? {};
      const got = inspectToken(jwt, ca.keyPem, nowMs);
      const verdict = Math.floor((nowMs + leftMs) / 1000) * 1000 > nowMs ? "valid" : "expired";
      if (got.verdict !== verdict || got.id !== id)
        throw new Error(`${leftMs} ms left: ${JSON.stringify(got)}`);
      const forged = damaged(Buffer.from(jwt), change).toString("latin1");
      for (const other of [forged, text, splitToken(text)?.jwt ?? ""]) {
        const { verdict: said } = inspectToken(other, ca.keyPem, nowMs);
        if (said === "valid" && other !== jwt) throw new Error(`took ${other} for ${jwt}`);
      }
    },
  );
});

fuzz("certificate requests", async () => {
  const ca = await createAuthority({ commonName: "ca", days: 1, nowMs });
  const request = Buffer.from((await createNodeRequest("n")).der);
  const bytes = fc.oneof(
    { weight: 4, arbitrary: damage.map((change) => damaged(request, change)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map((any) => Buffer.from(any)) },
  );
  const { keyHash } = await ca.openRequest(request);
  return fc.asyncProperty(bytes, async (der) => {
    const opened = await ca.openRequest(der).catch((error: unknown) => {
      if (error instanceof ProtocolError) return undefined;
      throw error;
    });
    // Its signature covers all but what follows it.
    if (opened && opened.keyHash !== keyHash) throw new Error(`took another key: ${der.toString("hex")}`);
  });
});
