import { Optional, type Environment } from "@marcbachmann/cel-js";
import { hasFormat } from "#cloud/kube-api/custom-resources/formats";
import {
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  labelValue,
  qualifiedName,
} from "#cloud/kube-api/kinds/validation/basics";

class CelFormats {
  readonly library = "format";
}

class CelFormat {
  readonly problems: (text: string) => readonly string[];

  constructor(problems: (text: string) => readonly string[]) {
    this.problems = problems;
  }
}

type Rule = (text: string) => readonly string[];

/** The same with what `generateName` adds left open. */
const prefixed =
  (rule: Rule): Rule =>
  (text) =>
    rule(text.replace(/-$/, "a"));
const named =
  (format: string, problem: string): Rule =>
  (text) =>
    hasFormat(text, format) ? [] : [problem];

/** The formats of `format.named` (KEP-4528). */
const formats: Readonly<Record<string, Rule>> = {
  byte: named("byte", "invalid base64"),
  date: named("date", "invalid date"),
  datetime: named("datetime", "invalid datetime"),
  dns1035Label,
  dns1035LabelPrefix: prefixed(dns1035Label),
  dns1123Label: dnsLabel,
  dns1123LabelPrefix: prefixed(dnsLabel),
  dns1123Subdomain: dnsSubdomain,
  dns1123SubdomainPrefix: prefixed(dnsSubdomain),
  labelValue,
  qualifiedName,
  uri: named("uri", "invalid URI"),
  uuid: named("uuid", "does not match the UUID format"),
};

export function addFormats(environment: Environment): void {
  environment.registerType("Format", CelFormat).registerType("Formats", CelFormats);
  environment.registerConstant("format", "Formats", new CelFormats());
  for (const [name, rule] of Object.entries(formats))
    environment.registerFunction(`Formats.${name}(): Format`, () => new CelFormat(rule));
  environment
    .registerFunction("Formats.named(string): optional<Format>", (_formats: CelFormats, name: string) => {
      const rule = Object.hasOwn(formats, name) ? formats[name] : undefined;
      return rule ? Optional.of(new CelFormat(rule)) : Optional.none();
    })
    .registerFunction(
      "Format.validate(string): optional<list<string>>",
      (format: CelFormat, text: string) => {
        const problems = format.problems(text);
        return problems.length > 0 ? Optional.of([...problems]) : Optional.none();
      },
    );
}
