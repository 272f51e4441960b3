import type { Environment } from "@marcbachmann/cel-js";
import { compareQuantities, parseQuantity, type Quantity } from "#shared/kube";

class CelQuantity {
  readonly quantity: Quantity;

  constructor(quantity: Quantity) {
    this.quantity = quantity;
  }

  get nano(): bigint {
    return this.quantity.nano;
  }
}

const unit = 1_000_000_000n;

export function addQuantities(environment: Environment): void {
  const read = (text: string): CelQuantity => {
    const quantity = parseQuantity(text);
    if (!quantity) throw new Error(`${JSON.stringify(text)} is no quantity`);
    return new CelQuantity(quantity);
  };
  const compare = (a: CelQuantity, b: CelQuantity): number => compareQuantities(a.quantity, b.quantity);
  const plus = (a: CelQuantity, nano: bigint): CelQuantity =>
    new CelQuantity({ ...a.quantity, nano: a.nano + nano });
  const asInteger = ({ nano }: CelQuantity): bigint => {
    if (nano % unit !== 0n) throw new Error("cannot convert value to integer");
    return nano / unit;
  };
  environment
    .registerType("Quantity", CelQuantity)
    .registerOperator("Quantity == Quantity", (a: CelQuantity, b: CelQuantity) => compare(a, b) === 0)
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
    .registerFunction("Quantity.add(Quantity): Quantity", (a: CelQuantity, b: CelQuantity) => plus(a, b.nano))
    .registerFunction("Quantity.add(int): Quantity", (a: CelQuantity, b: bigint) => plus(a, b * unit))
    .registerFunction("Quantity.sub(Quantity): Quantity", (a: CelQuantity, b: CelQuantity) =>
      plus(a, -b.nano),
    )
    .registerFunction("Quantity.sub(int): Quantity", (a: CelQuantity, b: bigint) => plus(a, -b * unit))
    .registerFunction("Quantity.sign(): int", ({ nano }: CelQuantity) =>
      nano === 0n ? 0n : nano < 0n ? -1n : 1n,
    )
    .registerFunction("Quantity.isInteger(): bool", ({ nano }: CelQuantity) => nano % unit === 0n)
    .registerFunction("Quantity.asInteger(): int", asInteger)
    .registerFunction("Quantity.asApproximateFloat(): double", ({ nano }: CelQuantity) => Number(nano) / 1e9);
}
