import { expect, test } from "bun:test";
import { compileTemplate, templateProblem } from "#shared/jinja";

const names = ["value", "value_json"];
const payload =
  '{"temp":21.5,"state":"ON","count":3,"big":12345678901234567890,"list":[1,2],"none":null,"whole":21.0}';

function rendered(template: string, value = payload): unknown {
  const result = compileTemplate(template, names).render({ value });
  return result.kind === "text" ? result.text : result;
}

const none = { kind: "none" };

// Expectations are what Jinja 3.1 prints on Python 3, with the filters of Home Assistant.
test.each([
  ["{{ value_json.temp }}", "21.5"],
  ["{{ value_json.whole }}", "21.0"],
  ["{{ value_json.big }}", "12345678901234567890"],
  ["{{ value_json['state'] | lower }}", "on"],
  ["{{ value_json.list[1] }} {{ value_json.list[-1] }}", "2 2"],
  ["{{ value_json.temp | float * 2 }}", "43.0"],
  ["{{ value_json.temp | int }}", "21"],
  ["{{ value_json.missing | default('none yet') }}", "none yet"],
  ["{{ value_json.missing.part | default(0) if value_json.missing is defined else 'gone' }}", "gone"],
  ["{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 0.125 | round(2) }}", "2 4 2.67 0.12"],
  ["{{ -7 % 3 }} {{ -7 // 2 }} {{ 7 / 2 }} {{ 8 / 2 }}", "2 -4 3.5 4.0"],
  ["{{ value_json.count == '3' }} {{ value_json.count == 3.0 }} {{ 0 == '' }}", "False True False"],
  ["{% if value_json.count > 2 %}many{% elif value_json.count > 1 %}some{% else %}few{% endif %}", "many"],
  ["{% set names = {None: None, 'ON': 'heating'} %}{{ names[value_json.state] }}", "heating"],
  ["{{ {0: 'off', 3: 'high'}[value_json.count] | default('None') }}", "high"],
  ["{{ value.split(',')[0] }}", '{"temp":21.5'],
  ["{% for one in value_json.list %}{{ one }}{% if not loop.last %}-{% endif %}{% endfor %}", "1-2"],
  ["{% set x %}a{{ value_json.count }}{% endset %}{{ x ~ '!' }}", "a3!"],
  ["{{ value | regex_findall_index('\"count\":([0-9]+)') }}", "3"],
  ["{{ iif(value_json.count == 3, 'yes', 'no') }}", "yes"],
  ["{{ value_json.list | to_json }}", "[1,2]"],
  ["{{ 'low' if value_json.temp | float < 10 else 'high' }}", "high"],
])("%s is rendered as Python does", (template, text) => {
  expect(rendered(template)).toBe(text);
});

test.each([
  "{{ value_json.missing }}",
  "{{ value_json.missing.part }}",
  "{{ value_json.none }}",
  "{{ value_json.missing | float }}",
])("%s is no value when the payload does not have it", (template) => {
  expect(rendered(template)).toEqual(none);
});

test.each([
  ["{{ 'abc' | float }}", 'float cannot convert "abc"'],
  ["{{ value_json.state > 3 }}", 'cannot compare "ON" with a whole number 3'],
  ["{{ value_json.state + 1 }}", 'cannot compute "ON" + a whole number 1'],
  ["{{ 1 / 0 }}", "divides by zero"],
])("%s is a problem, not a value", (template, problem) => {
  expect(rendered(template)).toEqual({ kind: "problem", problem });
});

test.each([
  ["{{ states('sensor.x') }}", 'calls "states", which is not known here'],
  ["{{ now().hour }}", 'calls "now", which is not known here'],
  ["{{ this.state }}", 'reads "this", which is not known here'],
  ["{{ value | nonsense }}", 'has the unknown filter "nonsense"'],
  ["{{ value is nonsense }}", 'has the unknown test "nonsense"'],
  ["{{ 1 < value_json.a < 5 }}", "compares the result of a comparison"],
  ["{{ value }", "is incomplete"],
  ["{% macro x() %}{% endmacro %}", 'has "Macro", which is not known here'],
])("%s is refused", (template, problem) => {
  expect(templateProblem(template, names)).toContain(problem);
});

const letters = "x".repeat(900);

test.each([
  [
    "grows a text",
    `{% set ns = namespace(a='xxxx') %}{% for i in '${letters}' %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a }}`,
  ],
  [
    "grows a number",
    `{% set ns = namespace(a=9) %}{% for i in '${letters}' %}{% set ns.a = ns.a * ns.a %}{% endfor %}{{ ns.a }}`,
  ],
  [
    "puts a list into itself",
    `{% set ns = namespace(a=[1]) %}{% for i in '${letters}' %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}`,
  ],
  [
    "zips a list with itself",
    `{% set ns = namespace(a=[1]) %}{% for i in '${letters}' %}{% set ns.a = zip(ns.a, ns.a) %}{% endfor %}{{ ns.a }}`,
  ],
  [
    "puts a mapping into itself",
    `{% set ns = namespace(a={}) %}{% for i in '${letters}' %}{% set ns.a = {1: ns.a, 2: ns.a} %}{% endfor %}{{ ns.a }}`,
  ],
  [
    "runs loops in loops",
    `{% set l = '${letters}' %}{% for i in l %}{% for j in l %}{% for k in l %}{{ 1 }}{% endfor %}{% endfor %}{% endfor %}`,
  ],
  ["has a pattern that is too large", "{{ value | regex_search('((a{100}){100}){100}') }}"],
])("a template that %s ends with a problem", (_, template) => {
  expect(rendered(template)).toMatchObject({ kind: "problem" });
});

test.each([
  ["brackets", "{{ " + "(".repeat(4000)],
  ["signs", "{{ " + "-".repeat(4000) + "1 }}"],
  ["negations", "{{ " + "not ".repeat(900) + "1 }}"],
  ["length", "x".repeat(5000)],
  ["blanks", "{{ value }}" + " ".repeat(4000) + "{% generation %}"],
  ["tags", "{% if value %}".repeat(200)],
])("a template with too many %s is refused", (_, template) => {
  expect(templateProblem(template, names)).toBeString();
});

test("a pattern that backtracks elsewhere costs linear time", () => {
  expect(rendered("{{ value | regex_search('^(a+)+$') }}", "a".repeat(50_000) + "b")).toBe("False");
});

const tooLarge = {
  kind: "problem",
  problem: "has a pattern of more than 1000 parts with its counts written out",
};
const tooLong = { kind: "problem", problem: "takes too many steps" };

test.each([
  "(?:.?){1000}".repeat(18) + "[yz]",
  "(?:(?:.?){30}a){33}",
  "(?:.?){501}",
  "(?:(?:.?){30}[(]){33}",
  "(?:(?:.?){30}[[:alpha:](]){33}",
  "(?:(?:.?){30}[](]){33}",
  String.raw`(?:(?:.?){30}\\(){33}`,
  String.raw`(?:(?:.?){30}\\Q(\\E){33}`,
])("the pattern %s is refused, for its size with its counts written out", (pattern) => {
  expect(rendered(`{{ value | regex_search('${pattern}') }}`, "a")).toEqual(tooLarge);
});

test.each([
  ["[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id 0b5f0a3c-1111-4222-8333-0123456789ab"],
  [String.raw`(?:\\d{1,3}\\.){3}\\d{1,3}`, "at 192.168.100.200"],
  ["x{,3}", "x{,3}"],
])("the pattern %s with counts is used", (pattern, text) => {
  expect(rendered(`{{ value | regex_search('${pattern}') }}`, text)).toBe("True");
});

test("a search costs the length of the text times the size of the pattern's program", () => {
  const search = "{{ value | regex_search('(?:.?){400}[yz]') }}";
  expect(rendered(search, "a".repeat(1000))).toBe("False");
  expect(rendered(search, "a".repeat(2000))).toEqual(tooLong);
  expect(rendered(search.repeat(2), "a".repeat(1000))).toEqual(tooLong);
});

test("each match costs the rest of the text, which it may have looked at", () => {
  const findAll = "{{ value | regex_findall('a(?:.*b)?') | length }}";
  expect(rendered(findAll, "a".repeat(400))).toBe("400");
  expect(rendered(findAll, "a".repeat(1000))).toEqual(tooLong);
  const replace = "{{ value | regex_replace('a(?:.*b)?', 'x') }}";
  expect(rendered(replace, "a".repeat(400))).toBe("x".repeat(400));
  expect(rendered(replace, "a".repeat(2000))).toEqual(tooLong);
});

test("what a pattern matches is replaced by the text as it stands", () => {
  expect(rendered("{{ value | regex_replace('[0-9]+', '$1') }}", "a12b3c")).toBe("a$1b$1c");
  expect(rendered("{{ value | regex_replace('b*', '-') }}", "abc")).toBe("-a--c-");
  expect(rendered("{{ value | regex_replace('x', '-') }}", "abc")).toBe("abc");
});

test("a document nested too deep for the stack is no value", () => {
  expect(rendered("{{ value_json.a }}", "[".repeat(100_000))).toEqual(none);
});

test("nothing of JavaScript is reached", () => {
  for (const name of ["constructor", "__proto__", "toString", "length"]) {
    expect(rendered(`{{ value_json.${name} }}`)).toEqual(none);
    expect(rendered(`{{ value_json.state.${name} }}`)).toEqual(none);
    expect(rendered(`{{ value_json.list.${name} }}`)).toEqual(none);
  }
});
