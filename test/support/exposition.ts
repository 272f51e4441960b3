/** A sample of the text format of Prometheus. */
export interface ReadSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const namePattern = /^[a-zA-Z_:][\w:]*$/;
const types = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);

/**
 * Reads the text format, version 0.0.4, as strictly as promtool: one HELP and TYPE before the samples of a family, which stand
 * together; known names, no sample twice, complete histograms.
 * @throws Error with the line
 */
export function readExposition(text: string): readonly ReadSample[] {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const families = text.slice(0, -1).split(/\n(?=# HELP )/);
  const names = families.map((lines) => lines.split(" ", 3)[2] ?? "");
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`family twice: ${twice}`);
  return families.flatMap(readFamily);
}

function readFamily(text: string): ReadSample[] {
  const [help = "", typeLine = "", ...lines] = text.split("\n");
  const { name, type } = readHead(help, typeLine);
  const keys = lines.map((line) => line.slice(0, line.lastIndexOf(" ")));
  if (new Set(keys).size !== keys.length) throw new Error(`sample twice in ${name}`);
  const samples = lines.map(readSample);
  const suffix = type === "histogram" ? /_(bucket|sum|count)$/ : /$/;
  const stray = samples.find((one) => one.name.replace(suffix, "") !== name);
  if (stray) throw new Error(`${stray.name} stands in ${name}`);
  return samples;
}

function readHead(help: string, typeLine: string): { readonly name: string; readonly type: string } {
  const [, name = ""] = /^# HELP (\S+) .+$/.exec(help) ?? [];
  const [, type = ""] = /^# TYPE \S+ (\S+)$/.exec(typeLine) ?? [];
  if (!namePattern.test(name)) throw new Error(`bad HELP: ${help}`);
  if (typeLine !== `# TYPE ${name} ${type}` || !types.has(type)) throw new Error(`bad TYPE: ${typeLine}`);
  if (type === "counter" && !name.endsWith("_total")) throw new Error(`counter without _total: ${help}`);
  return { name, type };
}

function readSample(line: string): ReadSample {
  const [, name = "", , body = "", number = ""] =
    /^([a-zA-Z_:][\w:]*)(\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\[\\n"])*",?)*)\})? (\S+)$/.exec(line) ?? [];
  const value = number === "+Inf" ? Infinity : Number(number);
  if (name === "" || Number.isNaN(value)) throw new Error(`bad sample: ${line}`);
  const labels = [...body.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\[\\n"])*)"/g)].map(
    ([, label = "", text = ""]) =>
      [label, text.replaceAll(/\\(.)/g, (_all, one) => (one === "n" ? "\n" : one))] as const,
  );
  if (new Set(labels.map(([label]) => label)).size !== labels.length) throw new Error(`label twice: ${line}`);
  return { name, labels: Object.fromEntries(labels), value };
}
