import { expect, test } from "bun:test";
import { join } from "node:path";
import { eventually, freePorts, run, startService } from "#internal/scripts/service.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("service that exits unexpectedly fails with the end of its log", async () => {
  using dir = tempDir();
  const log = join(dir.path, "log");
  await using service = startService("web", ["sh", "-c", "echo port taken >&2; exit 3"], log);
  expect(service.failed).rejects.toThrow(`web ended with 3; the end of ${log}:\nport taken`);
  await service.failed.catch(() => undefined);
});

test("service is asked to end when disposed", async () => {
  using dir = tempDir();
  const log = join(dir.path, "log");
  const service = startService(
    "web",
    ["sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"],
    log,
  );
  await eventually(5000, async () => expect(await Bun.file(log).text()).toBe("up\n"));
  await service[Symbol.asyncDispose]();
  expect(await Bun.file(log).text()).toBe("up\nbye\n");
});

test("command that fails throws its output", async () => {
  expect(run(["sh", "-c", "echo no >&2; exit 1"])).rejects.toThrow("ended with 1:\nno");
});

test("free ports are different and can be listened on", () => {
  const ports = freePorts(3);
  expect(new Set(ports).size).toBe(3);
  for (const port of ports)
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).stop(true);
});
