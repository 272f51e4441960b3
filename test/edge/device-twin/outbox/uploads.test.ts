import { expect, test } from "bun:test";
import { startHarness } from "#internal/test/edge/device-twin/harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("uploads go to the cloud in order, as they came", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.send("SYS/dis/upload_records", "one");
  await node.send("$hw/events/upload/x/y", "two");
  await node.send("$ke/events/device/d/upload", "three");
  await node.send("factory/user/alarm", "four");
  expect(node.outbox()).toEqual([
    { resource: "SYS/dis/upload_records", operation: "upload", content: "one" },
    { resource: "$hw/events/upload/x/y", operation: "upload", content: "two" },
    { resource: "$ke/events/device/d/upload", operation: "upload", content: "three" },
    { resource: "factory/user/alarm", operation: "upload", content: "four" },
  ]);
});
