import { describe, expect, test } from "bun:test";
import { cloudRefusal, edgeRefusal } from "./files.ts";

describe("keys given twice", () => {
  const theirs = "apiVersion: edgecore.config.kubeedge.io/v1alpha2\n";
  test.each([
    ["mqtt: { mode: 0 }\nedged:\n\nmqtt: {}", "mqtt: given twice, lines 1 and 4; merge them"],
    ["mqtt:\n  mode: 0\n  qos: 1\n  mode: 1", "mqtt.mode: given twice, lines 2 and 4; keep one of them"],
    [
      "mqtt: {mode: 0, 'mode' : 1, \"mode\":1}",
      "mqtt.mode: given 3 times, lines 1, 1 and 1; keep one of them",
    ],
    [
      "edged:\n  taints:\n    - key: a\n      effect: NoExecute\n      key: b",
      "edged.taints[0].key: given twice, lines 3 and 5; keep one of them",
    ],
    [
      `${theirs}modules:\n  eventBus: {}\n  eventBus: {}`,
      "modules.eventBus: given twice, lines 3 and 4; merge them",
    ],
    ["mqtt:\nmqtt:\n  nonsense: 1", "mqtt: given twice, lines 1 and 2; keep one of them"],
  ])("of %j are named with their lines", (text, problem) => {
    expect(edgeRefusal(text)).toBe(`Cannot load FILE: ${problem}`);
    if (!text.startsWith("api")) expect(cloudRefusal(text)).toBe(`Cannot load FILE: ${problem}`);
  });

  test.each([
    '# mqtt: no\nmqtt: { username: \'a: b\', password: "mode: x\\": " } # mqtt: {}',
    "mqtt:\n  username: |\n    qos: 1\n    qos: 2\n  qos: 1",
    "mqtt: { client-id: 'it''s '': mine' }\nedged: { labels: { a.b/c: x:y, d: 'e:' } }",
    "edged: { labels: &one { a: b } }\nmqtt: { qos: 1 }",
    "edged:\n  labels:\n    <<: &site { site: berlin }\n    <<: &rack { rack: r1 }\n    own: x",
  ])("are not seen in the texts of %j", (text) => {
    expect(edgeRefusal(text)).toBe("accepted");
  });

  test("are not seen in a map of 20,000 keys", () => {
    const labels = Array.from({ length: 20_000 }, (_, n) => `label-${n}: value`).join(", ");
    expect(edgeRefusal(`edged: { labels: { ${labels} } }`)).toBe("accepted");
  });
});
