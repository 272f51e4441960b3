const always: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

/** Whether a Host header names this machine's loopback or one of `more`, with or without a port. */
export function isOwnHost(header: string | undefined, more: readonly string[]): boolean {
  const [, host = ""] = /^(\[[\d:a-f.]+\]|[^\s:/@[\]]+)(?::\d{1,5})?$/i.exec(header ?? "") ?? [];
  const name = host.toLowerCase().replace(/\.$/, "");
  return always.includes(name) || more.some((address) => bracketed(address) === name);
}

/** Whether a page of that origin was served by this machine itself. */
export function isOwnOrigin(origin: string, more: readonly string[]): boolean {
  const [, host] = /^https?:\/\/([^/]+)$/i.exec(origin) ?? [];
  return isOwnHost(host, more);
}

function bracketed(address: string): string {
  const name = address.toLowerCase();
  return name.includes(":") && !name.startsWith("[") ? `[${name}]` : name;
}
