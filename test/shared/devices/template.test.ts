import { expect, test } from "bun:test";
import { readMapping, readReport, translateTemplate } from "#shared/devices";

/** What a template makes of a payload, through the mapping it is translated to. */
function read(template: string, payload: unknown): string | undefined {
  const translated = translateTemplate(template);
  if (!translated.ok) throw new Error(translated.problem);
  const { path, expression } = translated;
  const configData = { topic: "t", expression, ...(path === undefined ? {} : { path }) };
  const { mapping, problems } = readMapping(
    {
      metadata: { name: "d" },
      spec: { protocol: { protocolName: "mqtt" }, properties: [{ name: "p", visitors: { configData } }] },
    },
    undefined,
  );
  expect(problems).toEqual([]);
  const text = typeof payload === "string" ? payload : JSON.stringify(payload);
  return mapping && readReport(mapping, "t", Buffer.from(text)).values[0]?.value;
}

test.each([
  ["{{ value }}", "21.5", "21.5"],
  ["{{ value | float / 10 }}", "215", "21.5"],
  ["{{value_json.temp}}", { temp: 5 }, "5"],
  ["{{ value_json['soil temp'][0].x }}", { "soil temp": [{ x: 7 }] }, "7"],
  ["{{ value_json.t | float * 9 / 5 + 32 }}", { t: 10 }, "50"],
  ["{{ (value_json.t | float - 32) / 1.8 }}", { t: 50 }, "10"],
  ["{{ (value_json.t / 3) | round(2) }}", { t: 10 }, "3.33"],
  ["{{ value_json.t | int }}", { t: -3.7 }, "-3"],
  ["{{ value_json.t | float(0) }}", { t: "n/a" }, "0"],
  ["{{ -value_json.t | abs }}", { t: 4 }, "4"],
  ["{{ value_json.t | multiply(0.1) | round(1) }}", { t: 215 }, "21.5"],
  ["{{ 'ON' if value_json.motion else 'OFF' }}", { motion: true }, "ON"],
  ["{{ 'hot' if value_json.t > 30 and not value_json.t >= 90 else 'cold' }}", { t: 31 }, "hot"],
  ["{{ value | lower }}", "ON", "on"],
])("template %s reads %j as %s", (template, payload, value) => {
  expect(read(template, payload)).toBe(value);
});

test.each([
  "{% if value %}1{% endif %}",
  "{{ value }} V",
  "{{ value }}{{ value }}",
  "{{ value_json.a + value_json.b }}",
  "{{ value_json.a ~ 'x' }}",
  "{{ value_json.a + 'x' }}",
  "{{ value_json.a // 2 }}",
  "{{ value_json.a % 2 }}",
  "{{ value_json.a | default('x') }}",
  "{{ value_json.a | round(1, 'floor') }}",
  "{{ value_json.a is defined }}",
  "{{ value_json[value] }}",
  "{{ states('sensor.x') }}",
  "{{ 'a' if value }}",
  "{{ (value }}",
  "{{ }}",
  "21",
  `{{ ${"(".repeat(100)}value${")".repeat(100)} }}`,
])("template %s is refused instead of translated nearly", (template) => {
  expect(translateTemplate(template).ok).toBe(false);
});
