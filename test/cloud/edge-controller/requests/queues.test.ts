import { expect, test } from "bun:test";
import { ClosedError } from "#shared/errors";
import type { NodeAnswer, NodeRequest } from "#shared/topics";
import { RequestQueues, type NodeRequestHandler } from "#internal/cloud/edge-controller/requests/queues.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

function request(name: string, more: Partial<NodeRequest> = {}): NodeRequest {
  const base = { node: "e1", verb: "query", resource: "Secret", namespace: "default" } as const;
  return { ...base, name, content: null, ...more };
}

function start(handler: NodeRequestHandler): RequestQueues {
  const handlers = [["Secret query", handler]] as const;
  return new RequestQueues({
    handlers,
    isForeign: (node) => node === "foreign",
    clock: new FakeClock(),
    log: silentLog(),
  });
}

const codeOf = (answer: NodeAnswer): number | undefined => (answer.ok ? undefined : answer.status.code);

test("requests of one node are answered one after another, those of other nodes beside them", async () => {
  const steps: string[] = [];
  const first = Promise.withResolvers<void>();
  await using queues = start(async ({ node, name }) => {
    steps.push(`${node} ${name} starts`);
    if (name === "a") await first.promise;
    steps.push(`${node} ${name} ends`);
    return { ok: true };
  });
  const answers = [queues.answer(request("a")), queues.answer(request("b"))];
  await queues.answer(request("c", { node: "e2" }));
  first.resolve();
  await Promise.all(answers);
  expect(steps).toEqual(["e1 a starts", "e2 c starts", "e2 c ends", "e1 a ends", "e1 b starts", "e1 b ends"]);
});

test.each([
  ["many small requests", 600, null],
  ["few large requests", 20, "x".repeat(1024 * 1024)],
])(
  "a node that floods with %s gets 429 for those that do not fit, and another none",
  async (_, count, content) => {
    const first = Promise.withResolvers<void>();
    await using queues = start(async ({ node }) => {
      if (node === "e1") await first.promise;
      return { ok: true };
    });
    const answers = Array.from({ length: count }, (_unused, index) =>
      queues.answer(request(`s${index}`, { content })),
    );
    expect(await queues.answer(request("a", { node: "e2" }))).toEqual({ ok: true });
    expect(codeOf((await answers.at(-1)) ?? { ok: true })).toBe(429);
    first.resolve();
    const codes = (await Promise.all(answers)).map(codeOf);
    expect(codes.slice(0, 5)).toEqual(Array.from({ length: 5 }, () => undefined));
  },
);

test("requests that are not served, or of a Node that is not an edge's, are refused", async () => {
  await using queues = start(async () => ({ ok: true }));
  const answers = [
    await queues.answer(request("a", { verb: "delete" })),
    await queues.answer(request("a", { node: "foreign" })),
  ];
  expect(answers.map(codeOf)).toEqual([400, 403]);
});

test("requests that wait at disposal are rejected, the one that is handled is answered", async () => {
  const first = Promise.withResolvers<void>();
  const queues = start(async () => {
    await first.promise;
    return { ok: true };
  });
  const answers = Promise.allSettled([queues.answer(request("a")), queues.answer(request("b"))]);
  const disposed = queues[Symbol.asyncDispose]();
  first.resolve();
  await disposed;
  const [handled, waiting] = await answers;
  expect(handled).toEqual({ status: "fulfilled", value: { ok: true } });
  expect(waiting).toMatchObject({ status: "rejected", reason: expect.any(ClosedError) });
  await expect(queues.answer(request("c"))).rejects.toThrow(ClosedError);
});

test("a request that waits for others is answered with the time it arrived at", async () => {
  const clock = new FakeClock();
  const first = Promise.withResolvers<NodeAnswer>();
  const times: number[] = [];
  const handlers = [
    [
      "Secret query",
      async (_request: NodeRequest, receivedMs: number): Promise<NodeAnswer> => {
        times.push(receivedMs - startMs);
        return times.length === 1 ? first.promise : { ok: true };
      },
    ],
  ] as const;
  const startMs = clock.nowMs();
  await using queues = new RequestQueues({ handlers, isForeign: () => false, clock, log: silentLog() });
  const answers = [queues.answer(request("a")), queues.answer(request("b"))];
  await clock.advance(5000);
  first.resolve({ ok: true });
  await Promise.all(answers);
  expect(times).toEqual([0, 0]);
});
