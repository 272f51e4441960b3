import { expect, test } from "bun:test";
import { dockerEndOf } from "#internal/edge/edged/images/archives/oci-layout.ts";
import { scanTar, tarEnd } from "#internal/edge/edged/images/archives/tar.ts";

const file = (name: string, content: string): Uint8Array =>
  tarEnd({ [name]: Buffer.from(content) }).subarray(0, -1024);
const end = Buffer.alloc(1024);

/** The bytes in chunks of an odd length. */
async function* chunked(bytes: Uint8Array, length = 37): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

test("entries of a tar archive are read over the bounds of chunks", async () => {
  const bytes = Buffer.concat([file("a", "1".repeat(600)), file("./b", "two"), file("c", ""), end]);
  const scan = await scanTar(chunked(bytes), (name) => name === "b");
  const entries = [
    { name: "a", bytes: 600 },
    { name: "b", bytes: 3, content: expect.anything() },
    { name: "c", bytes: 0 },
  ];
  expect(scan).toEqual({ entries, endsAt: bytes.length - end.length });
  expect(Buffer.from(scan?.entries[1]?.content ?? []).toString()).toBe("two");
});

const large = Buffer.from(file("index.json", "{}"));
large.write("77777777777", 124);

test.each([
  ["nothing", Buffer.alloc(0)],
  ["text", Buffer.from("no archive".repeat(200))],
  ["an archive without an end", Buffer.from(file("a", "1"))],
  ["an archive that is cut", Buffer.from(file("a", "1".repeat(5000))).subarray(0, 2000)],
  ["an index of 8 GiB that is not there", Buffer.concat([large, end])],
  ["a layout without images", Buffer.concat([file("index.json", '{"manifests":[]}'), end])],
  ["a layout that names itself", Buffer.concat([layoutOfItself(), end])],
  [
    "a layout with paths of others",
    Buffer.concat([file("index.json", '{"manifests":[{"digest":"../../etc/passwd"}]}'), end]),
  ],
  [
    "an archive of docker save",
    Buffer.concat([file("index.json", '{"manifests":[]}'), file("manifest.json", "[]"), end]),
  ],
])("%s is given to the engine as it is", async (_what, bytes) => {
  expect(await dockerEndOf(chunked(bytes, 4096), "amd64")).toBeUndefined();
});

/** An index whose only image is an index that names itself. */
function layoutOfItself(): Buffer {
  const digest = "0".repeat(64);
  const platform = { os: "linux", architecture: "amd64" };
  const index = JSON.stringify({ manifests: [{ digest: `sha256:${digest}`, platform }] });
  return Buffer.concat([file("index.json", index), file(`blobs/sha256/${digest}`, index)]);
}
