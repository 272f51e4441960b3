import { RevisionStore } from "#cloud/kube-api/store";

/** Writes objects side by side until killed and prints the name of each once it is acknowledged. */
const [path = ""] = process.argv.slice(2);
const store = new RevisionStore({ path, historyRevisions: 100, onError: () => undefined });

async function writeOn(worker: number): Promise<never> {
  for (let number = 0; ; number += 1) {
    const name = `w${worker}-${number}`;
    const object = { metadata: { name }, data: { number: String(number).repeat(50) } };
    await store.write({ resource: "/configmaps", key: `ns/${name}`, object });
    process.stdout.write(`${name}\n`);
    if (number % 50 === 0) await store.compact();
  }
}

await Promise.all(Array.from({ length: 16 }, (_, worker) => writeOn(worker)));
