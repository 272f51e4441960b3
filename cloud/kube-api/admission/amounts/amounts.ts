import { compareQuantities, formatQuantity, parseQuantity, type Quantity } from "#shared/kube";
import { asText, type JsonObject } from "#shared/json";

/** Amounts by resource: `cpu`, `requests.memory`, `pods` … */
export type Amounts = ReadonlyMap<string, Quantity>;

const zero: Quantity = { nano: 0n, format: "decimal" };

export function amountsOf(object: JsonObject | undefined): Map<string, Quantity> {
  return new Map(
    Object.entries(object ?? {}).flatMap(([name, text]) => {
      const quantity = parseQuantity(asText(text));
      return quantity ? [[name, quantity] as const] : [];
    }),
  );
}

export function count(number: number): Quantity {
  return { nano: BigInt(number) * 1_000_000_000n, format: "decimal" };
}

export function plus(a: Quantity = zero, b: Quantity = zero): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

export function minus(a: Quantity = zero, b: Quantity = zero): Quantity {
  return { nano: a.nano - b.nano, format: a.nano === 0n ? b.format : a.format };
}

export function exceeds(a: Quantity = zero, b: Quantity = zero): boolean {
  return compareQuantities(a, b) > 0;
}

export function larger(a: Quantity = zero, b: Quantity = zero): Quantity {
  return exceeds(b, a) ? b : a;
}

export function sumOf(all: readonly Amounts[]): Map<string, Quantity> {
  const sum = new Map<string, Quantity>();
  for (const amounts of all) for (const [name, amount] of amounts) sum.set(name, plus(sum.get(name), amount));
  return sum;
}

/** The larger of each resource. */
export function mostOf(all: readonly Amounts[]): Map<string, Quantity> {
  const most = new Map<string, Quantity>();
  for (const amounts of all)
    for (const [name, amount] of amounts) most.set(name, larger(most.get(name), amount));
  return most;
}

/** As an object of the API, by name. */
export function toObject(amounts: Amounts): Record<string, string> {
  return Object.fromEntries(
    [...amounts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, formatQuantity(one)]),
  );
}

/** `cpu=2,memory=1Gi`, as messages list amounts. */
export function toText(amounts: Amounts): string {
  return Object.entries(toObject(amounts))
    .map(([name, text]) => `${name}=${text}`)
    .join(",");
}
