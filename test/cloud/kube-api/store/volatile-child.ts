import { RevisionStore } from "#cloud/kube-api/store";

/** Writes volatile revisions of one object and, now and then, a durable one of another until killed; prints what was acknowledged. */
const [path = ""] = process.argv.slice(2);
const store = new RevisionStore({ path, historyRevisions: 100, onError: () => undefined });
const put = (name: string, number: number, isVolatile: boolean): Promise<{ readonly revision: number }> => {
  const object = { metadata: { name }, data: { number: String(number) } };
  return store.write({ resource: "/configmaps", key: `ns/${name}`, object, isVolatile });
};
await put("status", 0, false);
for (let number = 1; ; number += 1) {
  const { revision } = await put("status", number, true);
  if (number % 100 === 0) await put("spec", number, false);
  if (number % 700 === 0) await store.storeVolatile();
  process.stdout.write(`${revision} ${number}\n`);
}
