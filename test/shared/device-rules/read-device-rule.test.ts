import { expect, test } from "bun:test";
import { readDeviceRule } from "#shared/device-rules";

const sound = {
  nodeName: "n",
  when: [{ device: "d", property: "p", expression: "value > 1" }],
  then: [{ publish: { topic: "t" } }],
};

test.each([
  [
    "half an expression",
    { when: [{ device: "d", property: "p", expression: "value >" }] },
    "spec.when[0].expression",
  ],
  ["no condition", { when: [] }, "spec.when"],
  [
    "two actions in one",
    { then: [{ publish: { topic: "t" }, set: { device: "d", property: "p", value: "1" } }] },
    "spec.then[0]",
  ],
  ["a wildcard to publish to", { then: [{ publish: { topic: "a/#" } }] }, "spec.then[0].publish.topic"],
  ["a topic of KubeEdge's", { then: [{ publish: { topic: "$hw/events" } }] }, "spec.then[0].publish.topic"],
  ["another machine", { then: [{ http: { url: "http://10.0.0.1:80/" } }] }, "spec.then[0].http.url"],
  [
    "the metadata of a cloud",
    { then: [{ http: { url: "http://169.254.169.254/" } }] },
    "spec.then[0].http.url",
  ],
  [
    "a name that looks local",
    { then: [{ http: { url: "http://127.0.0.1.example.com/" } }] },
    "spec.then[0].http.url",
  ],
  ["a password", { then: [{ http: { url: "http://a:b@127.0.0.1/" } }] }, "spec.then[0].http.url"],
  ["a time without unit", { for: "30" }, "spec.for"],
])("a rule with %s is refused with the field", (_, change, field) => {
  const read = readDeviceRule({ metadata: { name: "r" }, spec: { ...sound, ...change } });
  expect(read.ok ? [] : read.problems.map((problem) => problem.field)).toEqual([field]);
});

test("a rule that is sound is read", () => {
  expect(readDeviceRule({ metadata: { name: "r" }, spec: sound })).toMatchObject({ ok: true });
});
