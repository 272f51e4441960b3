import type { Environment } from "@marcbachmann/cel-js";

class CelUrl {
  readonly url: URL;

  constructor(url: URL) {
    this.url = url;
  }
}

export function addUrls(environment: Environment): void {
  const read = (text: string): CelUrl => {
    const url = URL.parse(text);
    if (!url) throw new Error(`${JSON.stringify(text)} is no URL`);
    return new CelUrl(url);
  };
  environment
    .registerType("URL", CelUrl)
    .registerOperator("URL == URL", (a: CelUrl, b: CelUrl) => a.url.href === b.url.href)
    .registerFunction("isURL(string): bool", (text: string) => URL.canParse(text))
    .registerFunction("url(string): URL", read)
    .registerFunction("URL.getScheme(): string", ({ url }: CelUrl) => url.protocol.slice(0, -1))
    .registerFunction("URL.getHost(): string", ({ url }: CelUrl) => url.host)
    .registerFunction("URL.getHostname(): string", ({ url }: CelUrl) => url.hostname)
    .registerFunction("URL.getPort(): string", ({ url }: CelUrl) => url.port)
    .registerFunction("URL.getEscapedPath(): string", ({ url }: CelUrl) => url.pathname)
    .registerFunction("URL.getQuery(): map<string, list<string>>", ({ url: { searchParams } }: CelUrl) =>
      Object.fromEntries([...new Set(searchParams.keys())].map((key) => [key, searchParams.getAll(key)])),
    );
}
