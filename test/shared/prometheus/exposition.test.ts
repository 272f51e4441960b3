import { expect, test } from "bun:test";
import { Counters, Durations, formatFamilies, processFamilies } from "#shared/prometheus";
import { readExposition } from "#internal/test/support/exposition.ts";

test("any text can be the value of a label", () => {
  const counters = new Counters({ name: "a_total", help: "A." });
  const values = ['"', "\\", "\n", '\\"', 'x"} 1\na_total{v="y', "ü", "{", ""];
  for (const value of values) counters.add({ value });
  const read = readExposition(formatFamilies([counters.family()]));
  expect(read.map(({ labels }) => labels["value"])).toEqual(values);
});

test("half of a surrogate pair is replaced", () => {
  const counters = new Counters({ name: "a_total", help: "A." });
  counters.add({ value: "\ud800" });
  expect(readExposition(formatFamilies([counters.family()]))[0]?.labels).toEqual({ value: "\ufffd" });
});

test("a counter adds up by labels", () => {
  const counters = new Counters({ name: "a_total", help: "A." });
  counters.add({ b: "1" });
  counters.add({ b: "1" }, 2);
  counters.add({ b: "2" });
  expect(formatFamilies([counters.family()])).toBe(
    '# HELP a_total A.\n# TYPE a_total counter\na_total{b="1"} 3\na_total{b="2"} 1\n',
  );
});

test("a histogram counts what is at most each bound", () => {
  const durations = new Durations({ name: "d_seconds", help: "D.", bounds: [0.1, 1] });
  for (const seconds of [0.1, 0.5, 7]) durations.observe({}, seconds);
  expect(formatFamilies([durations.family()]).split("\n").slice(2)).toEqual([
    'd_seconds_bucket{le="0.1"} 1',
    'd_seconds_bucket{le="1"} 2',
    'd_seconds_bucket{le="+Inf"} 3',
    "d_seconds_sum 7.6",
    "d_seconds_count 3",
    "",
  ]);
});

test("series are bounded", () => {
  const counters = new Counters({ name: "a_total", help: "A." });
  for (let n = 0; n < 5000; n += 1) counters.add({ n: String(n) });
  expect(counters.family().samples).toHaveLength(2000);
});

test("a process is shown", () => {
  const samples = readExposition(formatFamilies(processFamilies(1000)));
  expect(samples.find(({ name }) => name === "process_start_time_seconds")?.value).toBe(1);
});
