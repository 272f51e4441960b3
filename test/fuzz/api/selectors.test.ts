import * as fc from "fast-check";
import {
  fragmentsOf,
  matchesFields,
  parseFieldSelector,
  requireLabelSelector,
} from "#cloud/kube-api/selection";
import { Refusal } from "#cloud/kube-api/status";
import { meetsLabelExpressions, type LabelRequirement } from "#shared/kube";
import { fuzz, within } from "#internal/test/fuzz/fuzzing.ts";
import { objectOf, textOf } from "#internal/test/fuzz/json-values.ts";

type Operator = LabelRequirement["operator"];

const name = fc.oneof(
  fc.constantFrom("a", "b", "app", "in", "notin", "constructor", "toString", "x_y", "a.b", "A-1"),
  fc.stringMatching(/^[A-Za-z0-9]([-A-Za-z0-9_.]{0,10}[A-Za-z0-9])?$/),
);
const labelKey = fc.oneof(
  name,
  fc.tuple(fc.constantFrom("kubernetes.io", "a.b-c", "x"), name).map((parts) => parts.join("/")),
);
const labelValue = fc.oneof(fc.constantFrom("", "a", "b", "1", "42", "true"), name);
const integer = fc.integer().map(String);

const requirement: fc.Arbitrary<LabelRequirement> = fc.oneof(
  fc.record({
    key: labelKey,
    operator: fc.constantFrom<Operator>("In", "NotIn"),
    values: fc.array(labelValue, { minLength: 1, maxLength: 4 }),
  }),
  fc.record({
    key: labelKey,
    operator: fc.constantFrom<Operator>("Exists", "DoesNotExist"),
    values: fc.constant([]),
  }),
  fc.record({
    key: labelKey,
    operator: fc.constantFrom<Operator>("Gt", "Lt"),
    values: fc.tuple(integer),
  }),
);

/** One of the ways to write it: `spaces` and `short` choose. */
function written({ key, operator, values }: LabelRequirement, spaces: string, short: boolean): string {
  const single = values.length === 1 && short;
  if (operator === "Exists") return key;
  if (operator === "DoesNotExist") return `!${spaces}${key}`;
  if (operator === "Gt") return `${key}${spaces}>${spaces}${values[0]}`;
  if (operator === "Lt") return `${key}${spaces}<${spaces}${values[0]}`;
  if (single) return `${key}${spaces}${operator === "In" ? "=" : "!="}${spaces}${values[0]}`;
  return `${key} ${spaces}${operator.toLowerCase()}${spaces}(${values.join(`${spaces},${spaces}`)})`;
}

function naive({ key, operator, values }: LabelRequirement, labels: ReadonlyMap<string, string>): boolean {
  const value = labels.get(key);
  if (operator === "DoesNotExist") return value === undefined;
  if (operator === "NotIn") return value === undefined || !values.includes(value);
  if (value === undefined) return false;
  if (operator === "Exists") return true;
  if (operator === "In") return values.includes(value);
  if (!/^-?\d+$/.test(value)) return false;
  const difference = BigInt(value) - BigInt(values[0] ?? "0");
  return operator === "Gt" ? difference > 0n : difference < 0n;
}

function expectEqual(got: unknown, wanted: unknown, what: string): void {
  if (JSON.stringify(got) !== JSON.stringify(wanted))
    throw new Error(`${what}: got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
}

/** @returns undefined when it is refused; anything else that is thrown is a fault */
function unlessRefused<T>(parse: () => T): T | undefined {
  try {
    return within(1000, parse);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return undefined;
  }
}

const labels = fc.array(fc.tuple(labelKey, labelValue), { maxLength: 5 });

fuzz("label selectors", () =>
  fc.property(
    fc.array(requirement, { maxLength: 4 }),
    labels,
    fc.constantFrom("", " ", "  "),
    fc.boolean(),
    (requirements, has, spaces, short) => {
      const text = requirements.map((one) => written(one, spaces, short)).join(`,${spaces}`);
      const parsed = requireLabelSelector(text);
      expectEqual(parsed, requirements, text);
      const object = objectOf(has) as Record<string, string>;
      const known = new Map(has);
      const matches = meetsLabelExpressions(parsed, object);
      expectEqual(
        matches,
        requirements.every((one) => naive(one, known)),
        `${text} on ${JSON.stringify(has)}`,
      );
      // A cheap look at the text of an object must not hide one that is selected.
      const shown = JSON.stringify({ metadata: { labels: object } });
      if (matches)
        expectEqual(
          fragmentsOf({ labels: parsed, fields: [] }).filter((part) => !shown.includes(part)),
          [],
          text,
        );
    },
  ),
);

fuzz("arbitrary label selectors", () =>
  fc.property(
    fc.oneof(
      textOf("a", "b/c", "in", "notin", " ", ",", "(", ")", "=", "==", "!=", "!", ">", "<", "1", "-", "é"),
      fc.string({ maxLength: 100 }),
    ),
    labels,
    (text, has) => {
      const parsed = unlessRefused(() => requireLabelSelector(text));
      if (!parsed) return;
      const again = parsed.map((one) => written(one, " ", false)).join(",");
      expectEqual(requireLabelSelector(again), parsed, again);
      meetsLabelExpressions(parsed, objectOf(has) as Record<string, string>);
    },
  ),
);

const pods = { group: "", version: "v1", plural: "pods", kind: "Pod" };
const fieldPaths = [
  "metadata.name",
  "metadata.namespace",
  "spec.nodeName",
  "status.phase",
  "spec.hostNetwork",
];
const fieldValue = fc.oneof(
  fc.constantFrom("", "a", "default", "a,b", "a=b", "a\\", "\\,", "!=", "a\\\\", " "),
  fc.string({ maxLength: 6 }),
);
const term = fc.record({ path: fc.constantFrom(...fieldPaths), equal: fc.boolean(), value: fieldValue });

fuzz("field selectors", () =>
  fc.property(
    fc.oneof(
      fc.array(term, { maxLength: 4 }),
      textOf("metadata.name", "spec.nodeName", "=", "==", "!=", ",", "\\", "\\,", "\\=", "a", " "),
    ),
    fc.record({ name: fieldValue, nodeName: fieldValue }),
    (given, { name: ownName, nodeName }) => {
      const text = typeof given === "string" ? given : given.map(writtenTerm).join(",");
      const parsed = unlessRefused(() => parseFieldSelector(pods, text, ""));
      if (typeof given !== "string") expectEqual(parsed, given, text);
      if (!parsed) return;
      const object = { apiVersion: "v1", kind: "Pod", metadata: { name: ownName }, spec: { nodeName } };
      const read: Readonly<Record<string, string>> = {
        "metadata.name": ownName,
        "metadata.namespace": "",
        "spec.nodeName": nodeName,
        "status.phase": "",
        "spec.hostNetwork": "false",
      };
      const wanted = parsed.every(({ path, equal, value }) => (read[path] === value) === equal);
      expectEqual(matchesFields(parsed, object), wanted, text);
      const shown = JSON.stringify(object);
      if (wanted)
        expectEqual(
          fragmentsOf({ labels: [], fields: parsed }).filter((part) => !shown.includes(part)),
          [],
          text,
        );
    },
  ),
);

function writtenTerm({ path, equal, value }: { path: string; equal: boolean; value: string }): string {
  return `${path}${equal ? "=" : "!="}${value.replaceAll(/[\\,=]/g, String.raw`\$&`)}`;
}
