import { expect, test } from "bun:test";
import type { IncomingMessage, ServerResponse } from "node:http";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { ServiceRequests, type ServiceTarget } from "#internal/cloud/router/entry/service-requests.ts";
import { RuleCounters } from "#internal/cloud/router/state/rule-counters.ts";
import { UnavailableError } from "#shared/errors";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import type { RuleRequest } from "#internal/cloud/router/entry/accepted.ts";

const target: ServiceTarget = {
  kind: "servicebus",
  port: 8080,
  path: "/",
  delivery: "direct",
  nodes: undefined,
};

/** Uploads pieces of so many bytes, one in 40 s; the server answers when it has all, but its answer is lost. */
async function upload(pieces: number, bytes: number): Promise<unknown> {
  const clock = new FakeClock();
  const sent = new PassThrough();
  const request = Object.assign(sent, {
    method: "PUT",
    headers: { "transfer-encoding": "chunked" },
    rawHeaders: [],
  });
  const passed = new EventEmitter();
  const stream = async (
    _: unknown,
    body: ReadableStream<Uint8Array>,
    signal: AbortSignal,
  ): Promise<never> => {
    const aborted = new Promise<never>((_resolve, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason)),
    );
    const reader = body.getReader();
    for (;;) {
      const { done } = await Promise.race([reader.read(), aborted]);
      if (done) throw new UnavailableError("link-lost", "the link is lost");
      passed.emit("piece");
    }
  };
  const requests = new ServiceRequests({
    sender: { stream, canStream: () => true, isConnected: () => true } as never,
    queue: {} as never,
    counters: new RuleCounters(
      () => 0,
      () => undefined,
    ),
    mostBodyBytes: 1_000_000,
    clock,
  });
  const response = Object.assign(new EventEmitter(), { headersSent: false }) as unknown as ServerResponse;
  const match = { rule: { key: "default/web", target }, rest: [], parameters: {} };
  const answer = requests.answer(
    {
      match,
      nodes: ["edge-1"],
      request: request as unknown as IncomingMessage,
      response,
      messageId: "1",
      path: { endsWithSlash: false, query: "" },
    } as unknown as RuleRequest,
    target,
  );
  for (let piece = 0; piece < pieces; piece += 1) {
    const arrived = Promise.race([new Promise((resolve) => passed.once("piece", resolve)), answer]);
    sent.write(Buffer.alloc(bytes));
    await arrived;
    await clock.advance(40_000);
  }
  sent.end();
  return answer;
}

test("an upload may take longer than the time for its response as long as it makes progress", async () => {
  expect(await upload(5, 4096)).toMatchObject({ code: "no-response", reason: "the link is lost" });
});

test("an upload that drips is a timeout", async () => {
  expect(await upload(5, 1)).toMatchObject({ code: "timeout" });
});
