import * as fc from "fast-check";
import { join } from "node:path";
import { openStore } from "#edge/store";
import { isTopicFilter, topicMatches, TopicTrie } from "#shared/mqtt";
import { systemClock } from "#shared/clock";
import { BrokerClock } from "#internal/edge/mqtt/stored/broker-clock.ts";
import { Journal } from "#internal/edge/mqtt/stored/journal.ts";
import { Deadlines } from "#internal/edge/mqtt/stored/deadlines.ts";
import { Retained } from "#internal/edge/mqtt/stored/retained.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";
import { textOf } from "#internal/test/fuzz/json-values.ts";

const level = fc.constantFrom("a", "b", "", "$x", "$SYS", "é", "__proto__");
const topic = fc.array(level, { minLength: 1, maxLength: 6 }).map((levels) => levels.join("/"));
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant("+")), { maxLength: 6 }), fc.boolean())
  .map(([levels, rest]) => (rest ? [...levels, "#"] : levels.length === 0 ? ["a"] : levels).join("/"));

/** MQTT 3.1.1, 4.7, level by level. */
function covers([first, ...filters]: readonly string[], [level, ...levels]: readonly string[]): boolean {
  if (first === undefined) return level === undefined;
  if (first === "#") return true;
  if (level === undefined) return false;
  return (first === "+" || first === level) && covers(filters, levels);
}

function naive(filter: string, topic: string): boolean {
  const isHidden = topic.startsWith("$") && /^[+#]/.test(filter);
  return !isHidden && covers(filter.split("/"), topic.split("/"));
}

function expectSame(got: Iterable<string>, wanted: Iterable<string>, what: string): void {
  const [has, needs] = [[...got].toSorted(), [...wanted].toSorted()];
  if (JSON.stringify(has) !== JSON.stringify(needs))
    throw new Error(`${what}: got ${JSON.stringify(has)}, wanted ${JSON.stringify(needs)}`);
}

fuzz("topic filters", () =>
  fc.property(
    fc.array(fc.tuple(filter, fc.boolean()), { maxLength: 20 }),
    fc.array(topic, { minLength: 1, maxLength: 6 }),
    textOf("a", "/", "+", "#", "\0", "$"),
    (changes, topics, text) => {
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
      for (const one of topics) {
        expectSame(
          trie.match(one),
          [...left].filter((each) => naive(each, one)),
          one,
        );
        for (const each of left)
          if (topicMatches(each, one) !== naive(each, one)) throw new Error(`${each} and ${one}`);
      }
      const isFine = text
        .split("/")
        .every((part, at, all) => /^([^+#\0]*|\+)$/.test(part) || (part === "#" && at === all.length - 1));
      if (isTopicFilter(text) !== (isFine && text !== "" && text.split("/").length <= 50))
        throw new Error(`isTopicFilter(${JSON.stringify(text)}) is ${isTopicFilter(text)}`);
      trie.match(text);
    },
  ),
);

fuzz("retained messages", () => {
  using dir = tempDir("fuzz-retained");
  using store = openStore(join(dir.path, "edge.db"));
  const journal = new Journal(store);
  const clock = new BrokerClock(systemClock, {
    journal,
    store: store.mqttSessions,
    isNeeded: () => false,
  });
  const deadlines = new Deadlines(
    systemClock,
    () => clock.nowMs(),
    () => undefined,
  );
  return fc.property(
    fc.array(fc.tuple(topic, fc.constantFrom("x", "y", "")), { maxLength: 20 }),
    fc.array(filter, { minLength: 1, maxLength: 5 }),
    (changes, filters) => {
      // What it writes is never committed.
      const retained = new Retained(journal, [], { clock, deadlines, onRefused: () => undefined });
      const kept = new Map<string, string>();
      for (const [name, payload] of changes) {
        retained.put({ cmd: "publish", topic: name, payload, qos: 0, retain: true });
        if (payload === "") kept.delete(name);
        else kept.set(name, payload);
      }
      if (retained.size !== kept.size) throw new Error(`${retained.size} kept, not ${kept.size}`);
      for (const each of filters) {
        const got = [...retained.match(each)].flatMap((packet) =>
          packet ? [`${packet.topic} ${String(packet.payload)}`] : [],
        );
        const wanted = [...kept].filter(([name]) => naive(each, name)).map((entry) => entry.join(" "));
        expectSame(got, wanted, each);
      }
    },
  );
});
