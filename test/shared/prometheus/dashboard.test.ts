import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../../..");

test("the dashboard for Grafana asks for metrics that there are", () => {
  const text = readFileSync(join(root, "conf/grafana/kubeedge.json"), "utf8");
  const { panels } = JSON.parse(text) as {
    readonly panels: readonly { readonly targets: readonly { expr: string }[] }[];
  };
  const exprs = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const asked = exprs.flatMap(
    (expr) => expr.match(/\b(kubeedge|apiserver|container|node|process)_\w+/g) ?? [],
  );
  const folders = ["cloud/usage", "edge/meta-manager/figures", "shared/prometheus"].map((folder) =>
    join(root, folder),
  );
  const source = folders
    .flatMap((folder) => readdirSync(folder).map((file) => readFileSync(join(folder, file), "utf8")))
    .join("\n");
  const unknown = asked.filter((name) => !source.includes(`"${name.replace(/_bucket$/, "")}"`));
  expect({ asked: asked.length > 10, unknown }).toEqual({ asked: true, unknown: [] });
});
