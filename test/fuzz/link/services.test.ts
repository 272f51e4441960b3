import * as fc from "fast-check";
import { StreamChannel } from "#shared/streams";
import { checkRequest } from "#internal/edge/service-bus/request.ts";
import { ServiceFailure } from "#internal/edge/service-bus/failure.ts";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";

const piece = fc.oneof(
  fc.constantFrom(
    "/",
    "//",
    ".",
    "..",
    "%2e",
    "%2F",
    "\\",
    "@",
    ":",
    "?",
    "#",
    "\r\n",
    "\t",
    " ",
    "\0",
    "é",
    "[",
    "]",
  ),
  fc.constantFrom("evil.example", "127.0.0.1", "http://", "api", "%", "%0d%0a", "a=b"),
  fc.string({ maxLength: 4 }),
);
const path = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
const header = fc.tuple(
  fc.oneof(fc.constantFrom("content-length", "Transfer-Encoding", "host", "x-a", "__proto__"), fc.string()),
  fc.oneof(fc.constantFrom("4", "4, 4", "chunked", "1\r\nx: y"), fc.string()),
);

fuzz("requests to servers on a node", () =>
  fc.property(
    fc.record({
      port: fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.anything()),
      method: fc.oneof(fc.constantFrom("GET", "CONNECT", "trace", "G T"), fc.string()),
      path: fc.oneof(
        path,
        path.map((text) => `/${text}`),
      ),
      headers: fc.array(header, { maxLength: 4 }),
    }),
    (request) => {
      let checked;
      try {
        checked = checkRequest(request);
      } catch (error) {
        if (error instanceof ServiceFailure) return;
        throw error;
      }
      const url = new URL(checked.url);
      const port = url.port === "" ? 80 : Number(url.port);
      if (url.hostname !== "127.0.0.1" || port !== request.port || url.username !== "" || url.hash !== "")
        throw new Error(`goes to ${checked.url}`);
      if (`${url.pathname}${url.search}`.length < checked.path.replace(/\?$/, "").length)
        throw new Error(`${checked.path} becomes ${url.pathname}`);
      const lines = [checked.method, checked.path, ...[...checked.headers].flat()];
      if (lines.some((line) => /[\r\n\0]/.test(line))) throw new Error(`has a line end: ${lines.join()}`);
      if (checked.headers.has("host") || checked.headers.has("transfer-encoding"))
        throw new Error("passes on a header of the connection");
    },
  ),
);

const frame = fc
  .tuple(
    fc.integer({ min: 0, max: 7 }),
    fc.integer({ min: 0, max: 4 }),
    fc.oneof(
      fc.constant(Buffer.from('{"service":"a"}')),
      fc.uint8Array({ maxLength: 8 }),
      fc.constant(new Uint8Array(40_000)),
    ),
  )
  .map(([type, id, payload]) => new Uint8Array([type, 0, 0, 0, id, ...payload]));

fuzz("frames of streams", () =>
  fc.property(fc.array(frame, { maxLength: 30 }), (frames) => {
    const channel = new StreamChannel({
      transport: { isOpen: true, send: (_frame, written) => written?.() },
      end: "cloud",
      nowMs: () => 0,
      accept: () => undefined,
      broken: () => undefined,
    });
    channel.open({ service: "a" });
    for (const bytes of frames) channel.receive(bytes);
    if (channel.size > 30) throw new Error(`${channel.size} streams of ${frames.length} frames`);
    channel.end("over");
    if (channel.size > 0) throw new Error(`${channel.size} streams are left`);
  }),
);
