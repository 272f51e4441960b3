import { expect, test } from "bun:test";
import { array, assert, boolean, constant, constantFrom, oneof, property, tuple } from "fast-check";
import { TopicTrie, topicMatches } from "#shared/mqtt";

const level = constantFrom("a", "b", "", "$x");
const topic = array(level, { minLength: 1, maxLength: 6 }).map((levels) => levels.join("/"));
const filter = tuple(
  array(oneof(level, constant("+")), { minLength: 1, maxLength: 6 }),
  constantFrom("", "/#", "#"),
).map(([levels, end]) => (end === "#" ? "#" : levels.join("/") + end));

test("topic trie finds what each of its filters covers, whatever came and went", () => {
  assert(
    property(
      array(tuple(filter, boolean()), { maxLength: 30 }),
      array(topic, { minLength: 1, maxLength: 10 }),
      (changes, topics) => {
        const trie = new TopicTrie<string>();
        const left = new Set<string>();
        for (const [each, stays] of changes) {
          trie.add(each, each);
          left.add(each);
          if (stays) continue;
          const [gone = ""] = left;
          trie.remove(gone, gone);
          left.delete(gone);
        }
        const covering = (one: string): string[] => [...left].filter((each) => topicMatches(each, one));
        for (const one of topics) expect([...trie.match(one)].toSorted()).toEqual(covering(one).toSorted());
      },
    ),
    { numRuns: 500 },
  );
});

test("topic trie keeps no more nodes than its filters need", () => {
  const before = process.memoryUsage().heapUsed;
  const tail = "/x".repeat(190);
  const trie = new TopicTrie<number>();
  for (let n = 0; n < 2000; n += 1) trie.add(`${n}${tail}`, n);
  Bun.gc(true);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * 1024 * 1024);
  expect(trie.match(`7${tail}`)).toEqual(new Set([7]));
});
