import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { programs } from "#internal/scripts/release/compile.ts";
import { recordOrders } from "#internal/scripts/release/record-order.ts";

setDefaultTimeout(120_000);
const root = join(import.meta.dir, "../..");

test("a build records which functions a start of each program uses, and leaves nothing behind", async () => {
  const orders = await recordOrders(root);
  const files = programs.map((program) => orders.of(program));
  const functions = files.map((file) => readFileSync(file, "utf8").match(/^F [0-9a-f]{16}$/gm)?.length ?? 0);
  orders[Symbol.dispose]();
  for (const count of functions) expect(count).toBeGreaterThan(1000);
  expect(files.map((file) => existsSync(dirname(file)))).toEqual([false, false]);
});
