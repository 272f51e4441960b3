import { watchOf } from "#internal/test/bench/api.ts";

/** `watchers.ts KUBECONFIG PATH COUNT`: that many watches of a collection; sends how many events they have had. */
const [kubeconfig = "", path = "", count = "0"] = process.argv.slice(2);
let events = 0;

async function follow(): Promise<void> {
  for await (const _event of watchOf(kubeconfig, path)) events += 1;
}

for (let at = 0; at < Number(count); at += 1) void follow();
setInterval(() => process.send?.(events), 100);
