import * as fc from "fast-check";
import { ProtocolError } from "#shared/errors";
import { PodRefusal, readChannels, readPodStreamHead } from "#shared/pod-streams";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";

const text = fc.oneof(
  fc.constantFrom("default", "web", "", "__proto__", "2026-01-01T00:00:00Z"),
  fc.string(),
);
const value = fc.oneof(
  text,
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.array(text, { maxLength: 3 }),
  fc.anything(),
);
const request = fc.record(
  {
    kind: fc.oneof(fc.constantFrom("logs", "exec", "attach", "port-forward"), value),
    namespace: fc.oneof(fc.constant("default"), value),
    name: fc.oneof(fc.constant("web"), value),
    container: fc.oneof(fc.constant("c"), value),
    uid: value,
    command: value,
    port: value,
    stdin: value,
    stdout: value,
    stderr: value,
    tty: value,
    follow: value,
    tailLines: value,
    limitBytes: value,
    sinceSeconds: value,
    sinceTime: value,
    source: value,
  },
  { requiredKeys: [] },
);

fuzz("requests for streams to pods", () =>
  fc.property(fc.oneof(request, fc.anything()), (asked) => {
    try {
      const read = readPodStreamHead({ service: "pod", request: asked });
      if (read.namespace === "" || read.name === "") throw new Error("a pod without a name was read");
      if (read.kind === "exec" && read.command.length === 0) throw new Error("no command was read");
    } catch (error) {
      if (!(error instanceof PodRefusal)) throw error;
    }
  }),
);

const frame = fc
  .tuple(
    fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 255), fc.nat({ max: 255 })),
    fc.oneof(fc.nat({ max: 8 }), fc.nat()),
    fc.uint8Array({ maxLength: 8 }),
  )
  .map(([channel, size, bytes]) => {
    const head = Buffer.alloc(5);
    head[0] = channel;
    head.writeUInt32BE(size, 1);
    return Buffer.concat([head, bytes]);
  });

fuzz("channels of processes", () =>
  fc.asyncProperty(
    fc.array(fc.oneof(frame, fc.uint8Array({ maxLength: 20 })), { maxLength: 20 }),
    async (pieces) => {
      const sent = pieces.reduce((total, { length }) => total + length, 0);
      const readable = new ReadableStream<Uint8Array>({
        start: (controller) => {
          for (const piece of pieces) if (piece.length > 0) controller.enqueue(new Uint8Array(piece));
          controller.close();
        },
      });
      let read = 0;
      try {
        for await (const { bytes } of readChannels(readable)) read += bytes.length + 5;
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
      if (read > sent) throw new Error(`${read} bytes were read of ${sent}`);
    },
  ),
);
