import { expect, test } from "bun:test";
import { KeyedQueue } from "#shared/lifecycle";

function started(): { readonly failures: string[]; readonly queue: KeyedQueue<string> } {
  const failures: string[] = [];
  const queue = new KeyedQueue<string>((key, error) => failures.push(`${key} ${String(error)}`));
  return { failures, queue };
}

test("work of one key runs in order, other keys do not wait for it", async () => {
  const { queue } = started();
  const done: string[] = [];
  const slow = Promise.withResolvers<void>();
  queue.run("a", async () => {
    await slow.promise;
    done.push("a1");
  });
  queue.run("a", async () => void done.push("a2"));
  const other = new Promise<void>((resolve) => queue.run("b", async () => resolve()));
  await other;
  expect(done).toEqual([]);
  slow.resolve();
  await queue.idle();
  expect(done).toEqual(["a1", "a2"]);
});

test("work that fails is reported, and its key goes on", async () => {
  const { queue, failures } = started();
  const done: string[] = [];
  queue.run("a", () => Promise.reject(new Error("no")));
  queue.run("a", async () => void done.push("a2"));
  await queue.idle();
  expect([failures, done]).toEqual([["a Error: no"], ["a2"]]);
});

test("disposal waits for what runs and drops the rest", async () => {
  const { queue } = started();
  const done: string[] = [];
  const slow = Promise.withResolvers<void>();
  const running = new Promise<void>((resolve) => {
    queue.run("a", async () => {
      resolve();
      await slow.promise;
      done.push("a1");
    });
  });
  queue.run("a", async () => void done.push("a2"));
  await running;
  const disposed = queue[Symbol.asyncDispose]();
  slow.resolve();
  await disposed;
  queue.run("a", async () => void done.push("a3"));
  await queue.idle();
  expect(done).toEqual(["a1"]);
});
