import { expect, test } from "bun:test";
import { fragmentsOf, parseFieldSelector, requireLabelSelector, selects } from "#cloud/kube-api/selection";

const pods = { group: "", version: "v1", plural: "pods" };
const pod = (labels: Record<string, string>, spec: object = {}, status: object = {}) => ({
  metadata: { name: "p", namespace: "ns", labels },
  spec,
  status,
});

test.each([
  ["a=b", { a: "b" }, true],
  ["a==b", { a: "c" }, false],
  ["a!=b", {}, true],
  ["a!=b", { a: "b" }, false],
  ["a", { a: "" }, true],
  ["!a", { a: "" }, false],
  ["a in (x, y),b", { a: "y", b: "1" }, true],
  ["a in (x,y)", {}, false],
  ["a notin (x,y)", {}, true],
  ["n>3", { n: "4" }, true],
  ["n<3", { n: "4" }, false],
  ["n<3", { n: "x" }, false],
  ["example.com/k=v", { "example.com/k": "v" }, true],
  ["", {}, true],
])("label selector %p on %p is %p", (text, labels, expected) => {
  const selection = { labels: requireLabelSelector(text), fields: [] };
  const object = pod(labels);
  expect(selects(selection, object)).toBe(expected);
  if (expected)
    expect(fragmentsOf(selection).every((part) => JSON.stringify(object).includes(part))).toBe(true);
});

test.each(["a===b", "a in x", "a in (x", "=b", "a=b c", "-a=b", "a=b!", "n>x", "!a=b"])(
  "label selector %p is refused",
  (text) => {
    expect(() => requireLabelSelector(text)).toThrow();
  },
);

test.each([
  ["metadata.name=p", true],
  ["metadata.namespace!=ns", false],
  ["spec.nodeName=", true],
  ["spec.nodeName=n1", false],
  ["status.phase!=Running", false],
  ["status.phase=Running,metadata.name=p", true],
  ["spec.hostNetwork=false", true],
])("field selector %p is %p", (text, expected) => {
  const selection = { labels: [], fields: parseFieldSelector(pods, text, "") };
  const object = pod({}, {}, { phase: "Running" });
  expect(selects(selection, object)).toBe(expected);
  if (expected)
    expect(fragmentsOf(selection).every((part) => JSON.stringify(object).includes(part))).toBe(true);
});

test("CertificateSigningRequests are selected by their signer", () => {
  const requests = { group: "certificates.k8s.io", version: "v1", plural: "certificatesigningrequests" };
  const fields = parseFieldSelector(requests, "spec.signerName=example.com/a", "");
  const object = { metadata: { name: "r" }, spec: { signerName: "example.com/a" } };
  expect(selects({ labels: [], fields }, object)).toBe(true);
});

test("field selector reads an escaped backslash in front of a comma", () => {
  const text = String.raw`metadata.name=a\\,metadata.namespace=b`;
  expect(parseFieldSelector(pods, text, "")).toEqual([
    { path: "metadata.name", equal: true, value: "a\\" },
    { path: "metadata.namespace", equal: true, value: "b" },
  ]);
});

test.each([
  [String.raw`metadata.name=a\b`, String.raw`invalid escape sequence in value: \b`],
  ["metadata.name=a=b", "unescaped character in value: ="],
])("field selector %s is refused", (text, why) => {
  expect(() => parseFieldSelector(pods, text, "")).toThrow(why);
});

test("field selector is refused when the field is not selectable", () => {
  expect(() => parseFieldSelector(pods, "spec.x=1", "a=b")).toThrow(
    'Unable to find "/v1, Resource=pods" that match label selector "a=b", field selector "spec.x=1": field label not supported: spec.x',
  );
});
