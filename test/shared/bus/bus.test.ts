import { expect, test } from "bun:test";
import { Bus } from "#shared/bus";
import { nextTurn } from "#shared/clock";
import { BugError, ClosedError } from "#shared/errors";

interface Catalog {
  "thing.made": { event: { readonly n: number } };
  "thing.get": { body: { readonly n: number }; reply: string };
}

function makeBus(): { bus: Bus<Catalog>; errors: string[] } {
  const errors: string[] = [];
  const bus = new Bus<Catalog>({
    onFailure: (topic, module, error) => errors.push(`${topic} ${module} ${String(error)}`),
  });
  return { bus, errors };
}

test("Bus delivers events to a slow subscriber one at a time and in order", async () => {
  const { bus } = makeBus();
  const port = bus.port<"thing.made", never, "thing.made">("test");
  const seen: string[] = [];
  port.on("thing.made", async ({ n }) => {
    seen.push(`start ${n}`);
    if (n === 1) await nextTurn();
    seen.push(`end ${n}`);
  });
  await Promise.all([port.emit("thing.made", { n: 1 }), port.emit("thing.made", { n: 2 })]);
  expect(seen).toEqual(["start 1", "end 1", "start 2", "end 2"]);
});

test("Bus reports a failing subscriber and keeps the emitter and other subscribers unharmed", async () => {
  const { bus, errors } = makeBus();
  const seen: number[] = [];
  bus.port<never, never, "thing.made">("bad").on("thing.made", () => {
    throw new Error("broken");
  });
  bus.port<never, never, "thing.made">("good").on("thing.made", ({ n }) => void seen.push(n));
  await bus.port<"thing.made">("emitter").emit("thing.made", { n: 7 });
  expect({ errors, seen }).toEqual({ errors: ["thing.made bad Error: broken"], seen: [7] });
});

test("Bus asks the one answerer and refuses a second or a missing one", async () => {
  const { bus } = makeBus();
  const asker = bus.port<never, "thing.get">("asker");
  await expect(asker.ask("thing.get", { n: 1 })).rejects.toBeInstanceOf(BugError);
  const port = bus.port<never, never, never, "thing.get">("answerer");
  const answering = port.answer("thing.get", async ({ n }) => `thing ${n}`);
  expect(await asker.ask("thing.get", { n: 3 })).toBe("thing 3");
  expect(() => port.answer("thing.get", async () => "other")).toThrow(BugError);
  answering[Symbol.dispose]();
  await expect(asker.ask("thing.get", { n: 1 })).rejects.toBeInstanceOf(BugError);
});

test("Bus rejects questions after disposal", async () => {
  const { bus } = makeBus();
  bus.port<never, never, never, "thing.get">("answerer").answer("thing.get", async () => "x");
  bus[Symbol.dispose]();
  await expect(bus.port<never, "thing.get">("a").ask("thing.get", { n: 1 })).rejects.toBeInstanceOf(
    ClosedError,
  );
});
