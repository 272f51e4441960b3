import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ContainerRuntime, PodConnection } from "#edge/runtime";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import {
  busyboxImage,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/machine/container-engine.ts";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

setDefaultTimeout(30_000);
const owner = `connect-${process.pid}`;
const image = `kubeedge-connect-${process.pid}:1`;

function open(): Promise<ContainerRuntime> {
  const address = `unix://${engineSocket}`;
  return openDockerRuntime({ address, owner, clock: systemClock, log: silentLog() });
}

/** Starts a server in the pod. @returns the id of the sandbox */
async function serve(pod: PodUnderTest, script: string): Promise<string> {
  await pod.start("server", { command: ["sh", "-c", script] });
  return sandboxOf(pod);
}

async function sandboxOf(pod: PodUnderTest): Promise<string> {
  const list = await pod.runtime.list(pod.uid);
  return list.find(({ identity }) => identity.role === "sandbox")?.id ?? "";
}

/** The server listens a moment after its container was started. */
async function connected(pod: PodUnderTest, sandbox: string, port: number): Promise<PodConnection> {
  for (;;)
    try {
      return await pod.runtime.connect(sandbox, port);
    } catch {
      await systemClock.sleep(20);
    }
}

async function exchange({ readable, writable }: PodConnection, text: string): Promise<string> {
  const read = new Response(readable).text();
  const writer = writable.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  return read;
}

describe.skipIf(!hasEngine())("Docker connects to", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => {
    if (!made) return;
    removeContainers(owner);
    made[Symbol.dispose]();
  });

  test("a server on all addresses of the pod, and passes the ends of both directions on", async () => {
    await using pod = new PodUnderTest(await open(), image);
    using connection = await connected(pod, await serve(pod, "exec nc -ll -p 8080 -e cat"), 8080);
    const large = "x".repeat(300_000);
    expect((await exchange(connection, large)).length).toBe(large.length);
  });

  test("a server on the loopback of the pod", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const script = "echo hello > /tmp/page; exec httpd -f -p 127.0.0.1:8080 -h /tmp";
    using connection = await connected(pod, await serve(pod, script), 8080);
    expect(await exchange(connection, "GET /page HTTP/1.0\r\n\r\n")).toEndWith("\r\n\r\nhello\n");
  });

  test("nothing where nobody listens, and says so", async () => {
    await using pod = new PodUnderTest(await open(), image);
    await pod.start("idle");
    const sandbox = await sandboxOf(pod);
    await expect(pod.runtime.connect(sandbox, 81)).rejects.toThrow("connection refused");
  });

  test("nothing of the host when the sandbox has ended", async () => {
    await using pod = new PodUnderTest(await open(), image);
    await pod.start("idle");
    const sandbox = await sandboxOf(pod);
    await pod.runtime.stopSandbox(sandbox);
    await expect(pod.runtime.connect(sandbox, 22)).rejects.toThrow("it has no network");
  });

  test("a server in the network of the host", async () => {
    await using pod = new PodUnderTest(await open(), image);
    using server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket, bytes) => void socket.end(bytes) },
    });
    const { id } = await pod.runtime.runSandbox(pod.sandboxSpec({ network: { kind: "host" } }));
    using connection = await pod.runtime.connect(id, server.port);
    const writer = connection.writable.getWriter();
    await writer.write(new TextEncoder().encode("hello"));
    expect(await new Response(connection.readable).text()).toBe("hello");
  });
});
