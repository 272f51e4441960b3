import { expect, test } from "bun:test";
import { join } from "node:path";
import { openStore } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface Report {
  readonly header: { readonly msg_id: string };
  readonly content: { readonly twin: Readonly<Record<string, number>> };
}

const report = (id: string, twin: Record<string, number>): string =>
  JSON.stringify({
    header: { msg_id: id, timestamp: 1 },
    route: { resource: "device/d/twin/edge_updated" },
    content: { twin },
  });

test("backlog folds what waits into new messages and leaves alone what is on its way", () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const sent = store.outbox.put("twin", undefined, report("sent", { a: 1, b: 1 }));
  store.outbox.put("twin", undefined, report("second", { a: 2 }));
  store.outbox.put("twin", undefined, "not JSON");
  store.outbox.put("twin", undefined, report("third", { c: 3 }));
  const last = store.outbox.put("twin", undefined, report("fourth", { a: 4 }));
  store.outbox.sentUpTo = sent;

  expect(store.backlog.fold(1)).toBe(2);

  const rows = store.outbox.listAfter(0, 10);
  expect(rows.map(({ id }) => id)).toEqual([sent, sent + 2, last]);
  const { header, content } = JSON.parse(rows[2]?.message ?? "") as Report;
  expect(content.twin).toEqual({ a: 4, c: 3 });
  expect(["second", "third", "fourth"]).not.toContain(header.msg_id);
});
