/** Name rules of apimachinery/util/validation/validation.go, with its texts: each returns problems, none when the name is valid. */
const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const subdomain = `${label}(\\.${label})*`;
const label1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const qualified = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

const labelPattern = new RegExp(`^${label}$`);
const subdomainPattern = new RegExp(`^${subdomain}$`);
const label1035Pattern = new RegExp(`^${label1035}$`);
const qualifiedPattern = new RegExp(`^${qualified}$`);
const valuePattern = new RegExp(`^(${qualified})?$`);
const configKeyPattern = /^[-._a-zA-Z0-9]+$/;
const envPattern = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/;
const portNamePattern = /^[a-z0-9-]+$/;

const labelText = `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${label}')`;
const subdomainText = `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${subdomain}')`;
const label1035Text = `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '${label1035}')`;
const qualifiedRule = `must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${qualified}')`;
const labelValueText = `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(${qualified})?')`;
const configKeyText =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const envText =
  "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')";

/** Longer names are refused for their length already; no expression has to read a megabyte. */
const longestLooked = 1024;

export type NameRule = (text: string) => string[];

export const dnsLabel: NameRule = (text) =>
  check(text, { limit: 63, pattern: labelPattern, text: labelText });
export const dnsSubdomain: NameRule = (text) =>
  check(text, { limit: 253, pattern: subdomainPattern, text: subdomainText });
export const dns1035Label: NameRule = (text) =>
  check(text, { limit: 63, pattern: label1035Pattern, text: label1035Text });
export const labelValue: NameRule = (text) =>
  check(text, { limit: 63, pattern: valuePattern, text: labelValueText });

/** Names of RBAC objects: anything a URL segment can hold. */
export const pathSegment: NameRule = (text) => {
  if (text === "." || text === "..") return [`may not be '${text}'`];
  return ["/", "%"].filter((bad) => text.includes(bad)).map((bad) => `may not contain '${bad}'`);
};

/** `[prefix/]name`, as label and annotation keys have it. */
export const qualifiedName: NameRule = (text) => {
  const parts = text.split("/", 3);
  if (parts.length > 2)
    return [
      `a qualified name ${qualifiedRule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  const [prefix, name] = parts.length === 2 ? [parts[0], parts[1] ?? ""] : [undefined, parts[0] ?? ""];
  const problems: string[] = [];
  if (prefix === "") problems.push("prefix part must be non-empty");
  else if (prefix !== undefined)
    problems.push(...dnsSubdomain(prefix).map((problem) => `prefix part ${problem}`));
  if (name === "") problems.push("name part must be non-empty");
  else if (name.length > 63) problems.push("name part must be no more than 63 characters");
  if (!qualifiedPattern.test(name.slice(0, longestLooked))) problems.push(`name part ${qualifiedRule}`);
  return problems;
};

export const configKey: NameRule = (text) => {
  const problems = check(text, { limit: 253, pattern: configKeyPattern, text: configKeyText });
  if (text === ".") problems.push("must not be '.'");
  else if (text === "..") problems.push("must not be '..'");
  else if (text.startsWith("..")) problems.push("must not start with '..'");
  return problems;
};

export const envName: NameRule = (text) => {
  const problems = envPattern.test(text) ? [] : [envText];
  if (text === "." || text === "..") problems.push(`must not be '${text}'`);
  else if (text.startsWith("..")) problems.push("must not start with '..'");
  return problems;
};

/** IANA service names, as named ports have them. */
export const portName: NameRule = (text) => {
  const problems: string[] = [];
  if (text.length > 15) problems.push("must be no more than 15 characters");
  if (!portNamePattern.test(text))
    problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(text)) problems.push("must contain at least one letter (a-z)");
  if (text.includes("--")) problems.push("must not contain consecutive hyphens");
  if (text.startsWith("-") || text.endsWith("-")) problems.push("must not begin or end with a hyphen");
  return problems;
};

export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

export const portText = "must be between 1 and 65535, inclusive";

interface Check {
  readonly limit: number;
  readonly pattern: RegExp;
  readonly text: string;
}

function check(value: string, { limit, pattern, text }: Check): string[] {
  const problems: string[] = [];
  if (value.length > limit) problems.push(`must be no more than ${limit} characters`);
  if (!pattern.test(value.slice(0, longestLooked))) problems.push(text);
  return problems;
}
