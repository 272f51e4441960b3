import { expect, test } from "bun:test";
import { ensureCertificates } from "#cloud/cloud-hub/certificates";
import { EntryServer, type EntryPems } from "#cloud/router/http";
import { freePorts } from "#internal/scripts/service.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { budgetOfProcess } from "#shared/connections";

interface Started extends AsyncDisposable {
  readonly server: EntryServer;
  readonly clock: FakeClock;
  readonly log: ReturnType<typeof silentLog>;
  readonly pems: EntryPems;
  /** What was reported, in order; the promise settles with the first. */
  readonly reported: number[];
  readonly listening: Promise<void>;
  ask(): Promise<number>;
}

async function start(port: number): Promise<Started> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir("entry"));
  const { serverCert, serverKey, caPem } = await ensureCertificates({
    dataDir: dir.path,
    nowMs: Date.now(),
    advertise: ["127.0.0.1"],
  });
  const [clock, log] = [new FakeClock(), silentLog()];
  const reported: number[] = [];
  const first = Promise.withResolvers<void>();
  const pems = { cert: serverCert, key: serverKey };
  const server = stack.use(
    await EntryServer.start({
      address: "127.0.0.1",
      port,
      pems,
      connections: budgetOfProcess(clock),
      clock,
      log,
      reportPort: (got) => {
        reported.push(got);
        first.resolve();
      },
      handle: async (_request, response) => void response.end("ok"),
      upgrade: async (_request, socket) => void socket.destroy(),
    }),
  );
  const owned = stack.move();
  const ask = async (): Promise<number> =>
    (await fetch(`https://127.0.0.1:${server.port}/`, { tls: { ca: caPem }, keepalive: false })).status;
  const parts = { server, clock, log, pems, reported, listening: first.promise, ask };
  return { ...parts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test("a port that is taken stops nothing, is named in the log, and is used once it is free", async () => {
  const [port = 0] = freePorts(1);
  const other = Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
  await using entry = await start(port);
  const lines = entry.log.lines.filter((line) => line.includes("retrying"));
  expect([entry.reported, lines.length, lines[0]?.includes(String(port))]).toEqual([[], 1, true]);
  other.stop(true);
  await entry.clock.advance(10_000);
  await entry.listening;
  expect([entry.reported, await entry.ask()]).toEqual([[port], 200]);
});

test("a new certificate while the port is taken is used once it is free", async () => {
  const [port = 0] = freePorts(1);
  const other = Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
  await using entry = await start(port);
  await entry.server.renew(entry.pems);
  expect(entry.reported).toEqual([]);
  other.stop(true);
  await entry.clock.advance(10_000);
  await entry.listening;
  await entry.server.renew(entry.pems);
  expect([entry.reported, await entry.ask()]).toEqual([[port, port], 200]);
});
