import { Environment } from "@marcbachmann/cel-js";
import { compareQuantities, parseQuantity, type Quantity } from "#shared/kube";
import { isIP } from "node:net";

/** Nodes of an expression; Kubernetes' documentation has none with more than fifty. */
const limits = { maxAstNodes: 1000, maxDepth: 50, maxListElements: 500, maxMapEntries: 500 };

class CelQuantity {
  readonly quantity: Quantity;

  constructor(quantity: Quantity) {
    this.quantity = quantity;
  }
}

class CelUrl {
  readonly url: URL;

  constructor(url: URL) {
    this.url = url;
  }
}

/**
 * An environment with the functions that kube-apiserver adds to CEL: lists, strings, quantities, URLs and addresses
 * (Kubernetes documentation, "Common Expression Language", "Kubernetes CEL libraries").
 * @param variables names that expressions may use, of any type
 */
export function createEnvironment(variables: readonly string[]): Environment {
  const environment = new Environment({
    homogeneousAggregateLiterals: false,
    enableOptionalTypes: true,
    limits,
  });
  for (const name of variables) environment.registerVariable(name, "dyn");
  addLists(environment);
  addStrings(environment);
  addQuantities(environment);
  addUrls(environment);
  return environment;
}

type Comparable = bigint | number | string;

function addLists(environment: Environment): void {
  const zero = 0n;
  const add = (a: Comparable, b: Comparable): Comparable =>
    typeof a === "bigint" && typeof b === "bigint" ? a + b : Number(a) + Number(b);
  const pick = (list: Comparable[], better: (a: Comparable, b: Comparable) => boolean): Comparable => {
    const [first, ...rest] = list;
    if (first === undefined) throw new Error("min or max called on an empty list");
    return rest.reduce((best, one) => (better(one, best) ? one : best), first);
  };
  environment
    .registerFunction("list.sum(): dyn", (list: Comparable[]) => list.reduce(add, zero))
    .registerFunction("list.min(): dyn", (list: Comparable[]) => pick(list, (a, b) => a < b))
    .registerFunction("list.max(): dyn", (list: Comparable[]) => pick(list, (a, b) => a > b))
    .registerFunction("list.isSorted(): bool", (list: Comparable[]) =>
      list.every((one, index) => index === 0 || (list[index - 1] ?? one) <= one),
    )
    .registerFunction("list.indexOf(dyn): int", (list: unknown[], one: unknown) =>
      BigInt(list.findIndex((item) => Bun.deepEquals(item, one))),
    )
    .registerFunction("list.lastIndexOf(dyn): int", (list: unknown[], one: unknown) =>
      BigInt(list.findLastIndex((item) => Bun.deepEquals(item, one))),
    );
}

function addStrings(environment: Environment): void {
  environment
    .registerFunction("string.charAt(int): string", (text: string, index: bigint) =>
      text.charAt(Number(index)),
    )
    .registerFunction("string.replace(string, string): string", (text: string, old: string, next: string) =>
      text.replaceAll(old, () => next),
    )
    .registerFunction("isIP(string): bool", (text: string) => isIP(text) !== 0);
}

function addQuantities(environment: Environment): void {
  const read = (text: string): CelQuantity => {
    const quantity = parseQuantity(text);
    if (!quantity) throw new Error(`${JSON.stringify(text)} is no quantity`);
    return new CelQuantity(quantity);
  };
  const compare = (a: CelQuantity, b: CelQuantity): number => compareQuantities(a.quantity, b.quantity);
  environment
    .registerType("Quantity", CelQuantity)
    .registerFunction("isQuantity(string): bool", (text: string) => parseQuantity(text) !== undefined)
    .registerFunction("quantity(string): Quantity", read)
    .registerFunction("Quantity.compareTo(Quantity): int", (a: CelQuantity, b: CelQuantity) =>
      BigInt(compare(a, b)),
    )
    .registerFunction(
      "Quantity.isGreaterThan(Quantity): bool",
      (a: CelQuantity, b: CelQuantity) => compare(a, b) > 0,
    )
    .registerFunction(
      "Quantity.isLessThan(Quantity): bool",
      (a: CelQuantity, b: CelQuantity) => compare(a, b) < 0,
    )
    .registerFunction("Quantity.sign(): int", ({ quantity: { nano } }: CelQuantity) =>
      nano === 0n ? 0n : nano < 0n ? -1n : 1n,
    )
    .registerFunction(
      "Quantity.asInteger(): int",
      ({ quantity: { nano } }: CelQuantity) => nano / 1_000_000_000n,
    );
}

function addUrls(environment: Environment): void {
  const read = (text: string): CelUrl => {
    const url = URL.parse(text);
    if (!url) throw new Error(`${JSON.stringify(text)} is no URL`);
    return new CelUrl(url);
  };
  environment
    .registerType("URL", CelUrl)
    .registerFunction("isURL(string): bool", (text: string) => URL.canParse(text))
    .registerFunction("url(string): URL", read)
    .registerFunction("URL.getScheme(): string", ({ url }: CelUrl) => url.protocol.slice(0, -1))
    .registerFunction("URL.getHost(): string", ({ url }: CelUrl) => url.host)
    .registerFunction("URL.getHostname(): string", ({ url }: CelUrl) => url.hostname)
    .registerFunction("URL.getPort(): string", ({ url }: CelUrl) => url.port)
    .registerFunction("URL.getEscapedPath(): string", ({ url }: CelUrl) => url.pathname);
}
