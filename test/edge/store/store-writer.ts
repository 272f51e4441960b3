import { openStore } from "#edge/store";

/**
 * Writes pods with their outbox rows until it is killed, and prints each number once it is on disk. Every commit holds
 * a row, its latest-only message and its ordinary one.
 */
const path = process.argv[2];
if (path === undefined) throw new Error("usage: store-writer.ts <database>");
const store = openStore(path);
for (let n = 1; ; n += 1) {
  const text = JSON.stringify({ n, filler: "x".repeat(n % 4000) });
  store.transaction(() => {
    store.metas.put({ key: `default/pod/p${n % 7}`, type: "pod", value: text });
    store.outbox.put("podstatus", `p${n % 7}`, text);
    store.outbox.put("twin", undefined, text);
    if (n % 3 === 0) store.outbox.remove(store.outbox.listAfter(0, 1).map(({ id }) => id));
  });
  process.stdout.write(`${n}\n`);
}
