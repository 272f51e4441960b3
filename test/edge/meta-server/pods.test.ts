import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import { PodStreams } from "#edge/edged/streams";
import type { ExecStream, OutputChunk, PodConnection } from "#edge/runtime";
import { systemClock } from "#shared/clock";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { podObject, startTestNode, type TestNode } from "./harness.ts";

setDefaultTimeout(30_000);
const logPath = "/api/v1/namespaces/default/pods/web/log";

/** A node with one pod, whose container has one log, and whose commands write their words, what they read, and exit 7. */
class OnePod extends FakeRuntime {
  override list = async () => [{ id: "c1", identity: identity("c", "container"), phase: "running" } as const];
  override inspect = async () => ({ id: "c1" }) as Awaited<ReturnType<FakeRuntime["inspect"]>>;
  override async *logs(): AsyncGenerator<OutputChunk> {
    yield chunk("one\n");
    yield chunk("two\n");
  }
  override exec = async (_id: string, { command, stdin }: Parameters<FakeRuntime["exec"]>[1]) =>
    talker(command.join(" "), stdin);
  override connect = async (): Promise<PodConnection> => {
    throw new Error("not here");
  };
}

function identity(container: string, role: "container") {
  return {
    podName: "web",
    podNamespace: "default",
    podUid: "uid-of-web",
    container,
    role,
    attempt: 0,
    specHash: "",
    sandboxId: "",
    graceSeconds: 0,
  };
}

function chunk(text: string): OutputChunk {
  return { stream: "stdout", bytes: new TextEncoder().encode(text) };
}

function talker(words: string, stdin: boolean): ExecStream {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  let read = "";
  const output = async function* (): AsyncGenerator<OutputChunk> {
    yield chunk(`${words}\n`);
    if (stdin) await ended;
    yield chunk(read);
  };
  return {
    output: output(),
    write: async (bytes) => void (read += Buffer.from(bytes).toString()),
    closeInput: async () => resolve(),
    resize: async () => undefined,
    exitCode: async () => 7,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function startNode(): Promise<TestNode> {
  const runtime = new OnePod(systemClock);
  const pod = podObject("web");
  const containerStatuses = [
    {
      name: "c",
      state: { running: {} },
      containerID: "docker://c1",
      ready: true,
      restartCount: 0,
      image: "",
      imageID: "",
    },
  ];
  const streams = new PodStreams({
    runtime,
    clock: systemClock,
    // What metamanager stores of type pod.
    findPod: () => ({ pod: pod as never, status: { containerStatuses } }),
  });
  const node = await startTestNode(undefined, {
    takePod: (stream) => streams.take(stream),
    openHttp: { address: "127.0.0.1", port: 0 },
  });
  await node.put("pod", pod);
  return node;
}

let node: TestNode;
let dir: ReturnType<typeof tempDir>;
beforeAll(async () => {
  dir = tempDir("pods");
  node = await startNode();
  await Bun.write(join(dir.path, "ca.crt"), node.caPem);
});
afterAll(async () => {
  await node[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

test("the operator reads a log on the node without a link", async () => {
  const response = await node.get(`${logPath}?follow=true`);
  expect([response.status, response.headers.get("kubeedge-source"), await response.text()]).toEqual([
    200,
    "node",
    "one\ntwo\n",
  ]);
});

test.each([
  [`${logPath}?container=none`, 400, "container none is not valid for pod web"],
  [`${logPath}?tailLines=-1`, 422, 'PodLogOptions "web" is invalid: tailLines: Invalid value: -1'],
  [logPath.replace("web", "other"), 404, 'pods "other" not found on this node'],
  ["/api/v1/namespaces/default/pods/web/exec?command=ls&stdout=1", 400, "Upgrade request required"],
])("%s is refused with %d", async (path, status, text) => {
  const response = await node.get(path);
  const { message } = (await response.json()) as { readonly message: string };
  expect([response.status, message]).toEqual([status, expect.stringContaining(text)]);
});

test("nobody reads a log or runs a command without a token", async () => {
  const open = `http://127.0.0.1:${node.server.openHttpPort}`;
  const exec = "/api/v1/namespaces/default/pods/web/exec?command=ls&stdout=1";
  const statuses = [
    (await node.get(logPath, "")).status,
    (await node.get(exec, "")).status,
    (await fetch(open + logPath)).status,
    (await fetch(open + exec)).status,
  ];
  expect(statuses).toEqual([401, 401, 403, 403]);
});

describe.skipIf(!needsCommands("kubectl"))("kubectl on the node", () => {
  async function kubectl(words: readonly string[], input = ""): Promise<[number, string, string]> {
    const access = ["--server", node.url, "--token", node.operatorToken];
    const command = ["kubectl", ...access, "--certificate-authority", join(dir.path, "ca.crt"), ...words];
    const child = Bun.spawn(command, { stdin: Buffer.from(input), stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return [await child.exited, out, err];
  }

  test("reads logs", async () => {
    expect(await kubectl(["logs", "web"])).toEqual([0, "one\ntwo\n", ""]);
  });

  test.each(["true", "false"])(
    "runs a command (KUBECTL_REMOTE_COMMAND_WEBSOCKETS=%s)",
    async (webSockets) => {
      process.env["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = webSockets;
      try {
        expect(await kubectl(["exec", "-i", "web", "--", "say", "it"], "typed\n")).toEqual([
          7,
          "say it\ntyped\n",
          "command terminated with exit code 7\n",
        ]);
      } finally {
        delete process.env["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"];
      }
    },
  );
});

test("a page of a browser cannot open a WebSocket to a pod", async () => {
  const { port, hostname } = new URL(`http://127.0.0.1:${node.server.openHttpPort}`);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(
    "GET /api/v1/namespaces/default/pods/web/exec?command=ls&stdout=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n" +
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  const [first] = await Array.fromAsync(firstOf(socket));
  expect(first).toStartWith("HTTP/1.1 403");
});

async function* firstOf(socket: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const bytes of socket) {
    yield Buffer.from(bytes).toString();
    return;
  }
}
