import { describe, expect, test } from "bun:test";
import {
  askPod,
  encodeChannel,
  encodeInputEnd,
  largestFrame,
  PodRefusal,
  podStreamHead,
  readChannels,
  readPodStreamHead,
  refusePod,
  type ChannelFrame,
  type PodStreamRequest,
} from "#shared/pod-streams";
import { encodeBlock } from "#shared/streams";
import { link } from "#internal/test/shared/streams/linked.ts";

const pod = { namespace: "default", name: "web", uid: "u1" };
const logs = { ...pod, kind: "logs", container: "main" } as const;
const exec = {
  ...pod,
  kind: "exec",
  container: "main",
  command: ["sh", "-c", ""],
  stdin: true,
  stdout: true,
  stderr: false,
  tty: true,
} as const;

function streamOf(...pieces: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
}

async function collect(frames: AsyncIterable<ChannelFrame>): Promise<[string, string][]> {
  const all: [string, string][] = [];
  for await (const { channel, bytes } of frames) all.push([channel, Buffer.from(bytes).toString("latin1")]);
  return all;
}

describe("the head of a stream to a pod", () => {
  const requests: readonly PodStreamRequest[] = [
    {
      ...logs,
      follow: true,
      previous: false,
      timestamps: true,
      sinceSeconds: 5,
      tailLines: 0,
      limitBytes: 9,
    },
    { ...logs, follow: false, previous: true, timestamps: false, sinceTime: "2026-01-01T00:00:00Z" },
    exec,
    { ...pod, kind: "attach", container: "main", stdin: false, stdout: true, stderr: true, tty: false },
    { ...pod, kind: "port-forward", port: 8080 },
  ];
  test.each(requests)("is read as it was written: $kind", (request) => {
    const head: unknown = JSON.parse(JSON.stringify(podStreamHead(request)));
    expect(readPodStreamHead(head as ReturnType<typeof podStreamHead>)).toEqual(request);
  });

  test.each([
    [{}, 'field "namespace"'],
    [{ ...pod, kind: "shell" }, "expected kind"],
    [{ ...logs, container: "" }, 'field "container"'],
    [{ ...logs, tailLines: -1 }, 'field "tailLines"'],
    [{ ...logs, limitBytes: 0 }, 'field "limitBytes"'],
    [{ ...logs, sinceTime: "yesterday" }, 'field "sinceTime"'],
    [{ ...logs, sinceTime: "2026-01-01T00:00:00Z", sinceSeconds: 1 }, "at most one of"],
    [{ ...exec, command: [] }, "at least one command"],
    [{ ...exec, command: ["sh", 1] }, 'field "command"'],
    [{ ...exec, stdin: false, stdout: false, stderr: true }, "at least 1 of stdin"],
    [{ ...pod, kind: "port-forward", port: 65_536 }, 'field "port"'],
  ])("is refused when it is not valid: %j", (request, text) => {
    expect(() => readPodStreamHead({ service: "pod", request })).toThrow(text);
  });
});

describe("channels", () => {
  test("are read whole, however the bytes are cut", async () => {
    const sent = Buffer.concat([
      encodeChannel("stdin", Buffer.from("hello")),
      encodeChannel("resize", Buffer.from('{"Width":80,"Height":24}')),
      encodeInputEnd(),
    ]);
    const bytes = Array.from(sent, (byte) => Uint8Array.of(byte));
    expect(await collect(readChannels(streamOf(...bytes)))).toEqual([
      ["stdin", "hello"],
      ["resize", '{"Width":80,"Height":24}'],
      ["close", "\u0000"],
    ]);
  });

  test("carry bytes longer than a frame in several", async () => {
    const frames = await collect(
      readChannels(streamOf(encodeChannel("stdout", Buffer.alloc(largestFrame + 1)))),
    );
    expect(frames.map(([, text]) => text.length)).toEqual([largestFrame, 1]);
  });

  test("that are not known are skipped", async () => {
    const strange = encodeChannel("stdin", Buffer.from("x"));
    strange[0] = 9;
    expect(await collect(readChannels(streamOf(strange, encodeChannel("stderr", Buffer.from("e")))))).toEqual(
      [["stderr", "e"]],
    );
  });

  test("end with an error when a frame is cut or too long", async () => {
    const frame = encodeChannel("stdin", Buffer.from("hello"));
    await expect(collect(readChannels(streamOf(frame.subarray(0, 7))))).rejects.toThrow("within a frame");
    new DataView(frame.buffer).setUint32(1, largestFrame + 1);
    await expect(collect(readChannels(streamOf(frame)))).rejects.toThrow("at most 65536");
  });
});

describe("askPod", () => {
  test("returns what follows the answer of the node", async () => {
    await using linked = await link();
    const asked = askPod(linked.cloud.open(podStreamHead(logs)));
    const writer = (await linked.atNode()).writable.getWriter();
    await writer.write(encodeBlock({ status: "Success" }));
    await writer.write(Buffer.from("line\n"));
    await writer.close();
    expect(await new Response(await asked).text()).toBe("line\n");
  });

  test("throws what the node refuses, with its code and reason", async () => {
    await using linked = await link();
    const stream = linked.cloud.open(podStreamHead(logs));
    const asked = askPod(stream);
    const refusal = refusePod.notFound('pod "web" does not exist');
    const writer = (await linked.atNode()).writable.getWriter();
    await writer.write(encodeBlock(refusal.toStatus()));
    await expect(asked).rejects.toEqual(refusal);
    await stream.closed;
  });

  test("throws a timeout with the reason when the link is lost first", async () => {
    await using linked = await link();
    const asked = askPod(linked.cloud.open(podStreamHead(logs)));
    await linked.atNode();
    linked.cut();
    await expect(asked).rejects.toEqual(
      new PodRefusal(504, "Timeout", "the node cannot be asked: the link is lost"),
    );
  });
});
