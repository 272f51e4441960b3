import { dnsSubdomain, eachOf, invalid, required } from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textOf, textsOf, type JsonObject } from "#shared/json";

/** What the resolvers of Linux read. */
const most = { nameservers: 3, searches: 32, searchCharacters: 2048 };

const longestIp = 45;
const ipPattern = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$/;

function isIp(text: string): boolean {
  return text.length <= longestIp && ipPattern.test(text);
}

export function validateHostAliases(spec: JsonObject, path: string): FieldError[] {
  return eachOf(itemsOf(spec, "hostAliases"), (alias) => {
    const ip = textOf(alias, "ip");
    return [
      ...(isIp(ip) ? [] : [invalid(`${path}.ip`, ip, "must be valid IP address")]),
      ...textsOf(alias, "hostnames").flatMap((name) =>
        dnsSubdomain(name).map((problem) => invalid(`${path}.hostnames`, name, problem)),
      ),
    ];
  });
}

export function validateDnsConfig(spec: JsonObject, path: string): FieldError[] {
  const config = childOf(spec, "dnsConfig");
  const servers = textsOf(config, "nameservers");
  if (spec.dnsPolicy === "None" && config === undefined)
    return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")];
  if (spec.dnsPolicy === "None" && servers.length === 0)
    return [
      required(`${path}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None"),
    ];
  const tooMany = `must not have more than ${most.nameservers} nameservers`;
  return [
    ...(servers.length > most.nameservers ? [invalid(`${path}.nameservers`, servers, tooMany)] : []),
    ...eachOf(servers, (server, index) =>
      isIp(server) ? [] : [invalid(`${path}.nameservers[${index}]`, server, "must be valid IP address")],
    ),
    ...validateSearches(textsOf(config, "searches"), `${path}.searches`),
    ...eachOf(itemsOf(config, "options"), (option, index) =>
      textOf(option, "name") === "" ? [required(`${path}.options[${index}]`, "must not be empty")] : [],
    ),
  ];
}

function validateSearches(searches: string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (searches.length > most.searches)
    errors.push(invalid(path, searches, `must not have more than ${most.searches} search paths`));
  if (searches.join(" ").length > most.searchCharacters) {
    const text = `must not have more than ${most.searchCharacters} characters (including spaces) in the search list`;
    errors.push(invalid(path, searches, text));
  }
  return [
    ...errors,
    ...eachOf(searches, (search, index) => {
      const name = search.replace(/\.$/, "");
      return dnsSubdomain(name).map((problem) => invalid(`${path}[${index}]`, name, problem));
    }),
  ];
}
