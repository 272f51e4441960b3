import { expect, test } from "bun:test";
import { admitCreate, decodeBody, findKind } from "#cloud/kube-api/kinds";
import { asText, type JsonObject } from "#shared/json";
import recorded from "./refused.json";

/** A new object, and the causes with which a kube-apiserver 1.26 refused it (less that of an endpoint on the loopback). */
interface Refused {
  readonly name: string;
  readonly body: JsonObject;
  readonly causes: readonly string[];
}

const cases: readonly Refused[] = recorded;

test.each(cases.map((one) => [one.name, one] as const))("a new object is refused: %s", (_name, one) => {
  const kind = findKind(asText(one.body.apiVersion), asText(one.body.kind));
  if (kind === undefined) throw new Error(`no kind ${asText(one.body.kind)}`);
  const decoded = decodeBody(kind, structuredClone(one.body), { validation: "Ignore" });
  if (!decoded.ok) throw new Error(decoded.status.message);
  const outcome = admitCreate(kind, decoded.value, { now: "2026-01-01T00:00:00Z" });
  const causes = outcome.ok ? [] : (outcome.status.details?.causes ?? []);
  const shown = new Set(causes.map(({ field, reason }) => `${field}: ${reason}`));
  expect([...shown].toSorted()).toEqual(one.causes.toSorted());
});
