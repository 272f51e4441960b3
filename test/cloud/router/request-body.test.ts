import { expect, test } from "bun:test";
import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { BodyError, bodyOf } from "#cloud/router/http";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";

/** A request with a body in chunks, of which only the parts that are used are there. */
function requestOf(body: PassThrough): IncomingMessage {
  return Object.assign(body, { headers: { "transfer-encoding": "chunked" } }) as unknown as IncomingMessage;
}

test("a client that stops in the midst of a body is dropped, and one that goes on is not", async () => {
  const clock = new FakeClock();
  const sent = new PassThrough();
  const body = bodyOf(requestOf(sent), { mostBytes: 100, clock });
  const reader = body?.getReader();
  for (const text of ["a", "b", "c"]) {
    const reading = reader?.read();
    await clock.advance(40_000);
    sent.write(text);
    expect(Buffer.from((await reading)?.value ?? []).toString()).toBe(text);
  }
  const reading = reader?.read().catch((error: unknown) => error);
  await clock.advance(60_000);
  const error = await reading;
  expect(error instanceof BodyError && [error.problem.status, error.problem.code]).toEqual([
    408,
    "body-too-slow",
  ]);
  sent.destroy();
});

test("the rest of a body that nobody wants is read, and its client dropped when that takes long", async () => {
  const clock = new FakeClock();
  const sent = new PassThrough();
  const reader = bodyOf(requestOf(sent), { mostBytes: 100, clock })?.getReader();
  await reader?.cancel();
  sent.write(Buffer.alloc(1_000_000));
  await new Promise((resolve) => sent.once("drain", resolve));
  const closed = new Promise((resolve) => sent.once("close", resolve));
  await clock.advance(10_000);
  await closed;
  expect(sent.destroyed).toBe(true);
});
