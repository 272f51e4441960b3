import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { demoImage } from "#internal/scripts/engine.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";

const sh = ["/bin/busybox", "sh"];
const protocols = [
  ["WebSockets", {}],
  ["SPDY/3.1", { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: "false", KUBECTL_PORT_FORWARD_WEBSOCKETS: "false" }],
] as const;

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

describe.skipIf(!hasPair())("kubectl and a pod on a node", () => {
  let pair: Pair;

  beforeAll(async () => {
    pair = await startPair();
    const server = "mkdir -p /www; echo page > /www/index.html; /bin/busybox httpd -p 8080 -h /www";
    await pair.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "app", namespace: "default" },
      spec: {
        nodeName: pair.node,
        terminationGracePeriodSeconds: 0,
        containers: [
          {
            name: "main",
            image: demoImage,
            imagePullPolicy: "IfNotPresent",
            command: [...sh, "-c", `/bin/busybox ${server}; echo started; exec /bin/busybox cat`],
            stdin: true,
            readinessProbe: { tcpSocket: { port: 8080 } },
          },
        ],
      },
    });
    await pair.kubectl("wait", "--for=condition=Ready", "pod/app", "--timeout=60s");
  }, 120_000);
  afterAll(() => pair[Symbol.asyncDispose]());

  async function kubectl(
    env: Readonly<Record<string, string>>,
    words: readonly string[],
    input: Uint8Array | string = "",
  ): Promise<Ended> {
    const child = Bun.spawn(["kubectl", "--kubeconfig", pair.cloudFile("kubeconfig"), ...words], {
      env: { ...process.env, ...env },
      stdin: Buffer.from(input),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, out, err };
  }

  test("logs shows what the container has written", async () => {
    expect(await pair.kubectl("logs", "app", "-c", "main")).toStartWith("started\n");
  });

  describe.each(protocols)("on %s", (_name, env) => {
    test("exec separates both outputs and passes the exit code", async () => {
      const words = ["exec", "app", "-c", "main", "--", ...sh, "-c", "echo out; echo err >&2; exit 3"];
      const ended = await kubectl(env, words);
      expect(ended).toEqual({ code: 3, out: "out\n", err: "err\ncommand terminated with exit code 3\n" });
    });

    test("exec passes a large input, and its end", async () => {
      const input = Buffer.alloc(3_000_000, "0123456789abcdef");
      const { out } = await kubectl(
        env,
        ["exec", "-i", "app", "-c", "main", "--", "/bin/busybox", "md5sum"],
        input,
      );
      expect(out).toStartWith(createHash("md5").update(input).digest("hex"));
    });

    test("attach connects to the process of the container", async () => {
      const words = ["attach", "-i", "app"];
      const child = Bun.spawn(["kubectl", "--kubeconfig", pair.cloudFile("kubeconfig"), ...words], {
        env: { ...process.env, ...env },
        stdin: "pipe",
        stdout: "pipe",
        stderr: "ignore",
      });
      await child.stdin.write("typed\n");
      await child.stdin.flush();
      const { value } = await child.stdout.getReader().read();
      expect(Buffer.from(value ?? []).toString()).toBe("typed\n");
      child.kill();
      await child.exited;
    });

    test("port-forward reaches a server in the pod, and says what has no server", async () => {
      const child = Bun.spawn(
        ["kubectl", "--kubeconfig", pair.cloudFile("kubeconfig"), "port-forward", "app", ":8080", ":81"],
        { env: { ...process.env, ...env }, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
      );
      const [open = 0, closed = 0] = await portsOf(child.stdout);
      const answers = await Promise.all(
        Array.from({ length: 8 }, async () => (await fetch(`http://127.0.0.1:${open}/`)).text()),
      );
      expect(answers).toEqual(Array.from({ length: 8 }, () => "page\n"));
      const socket = connect(closed, "127.0.0.1");
      socket.on("error", () => undefined);
      expect(await new Response(child.stderr).text()).toContain("connection refused");
      await child.exited;
      socket.destroy();
    });
  });

  test("run -i --rm shows the output of a pod, and removes it", async () => {
    const words = ["run", "job", "-i", "--rm", "--restart=Never", `--image=${demoImage}`];
    const overrides = JSON.stringify({ spec: { nodeName: pair.node } });
    const command = [
      "--image-pull-policy=IfNotPresent",
      "--overrides",
      overrides,
      "--",
      "/bin/busybox",
      "cat",
    ];
    const { out, code } = await kubectl({}, [...words, ...command], "text\n");
    expect([code, out]).toEqual([0, expect.stringContaining("text\n") as unknown as string]);
    expect((await kubectl({}, ["get", "pod", "job"])).err).toContain("NotFound");
  });

  test("debug starts a container beside the others that sees the processes of its target", async () => {
    const words = [
      "debug",
      "app",
      "-i",
      `--image=${demoImage}`,
      "--target=main",
      "--container=tools",
      "--profile=general",
    ];
    const { out } = await kubectl({}, [...words, "--", "/bin/busybox", "cat", "/proc/1/cmdline"], "\n");
    expect(out.replaceAll("\0", " ")).toContain("/bin/busybox cat");
    await pair.kubectl(
      "wait",
      "pod/app",
      "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}=Completed",
      "--timeout=30s",
    );
    expect(await pair.kubectl("logs", "app", "-c", "tools")).toStartWith("/bin/busybox");
    expect(await pair.kubectl("get", "pod", "app", "-o", "jsonpath={.status.phase}")).toBe("Running");
  });

  test("an exec ends with an error when the link is cut, and works again with a new link", async () => {
    const child = Bun.spawn(
      [
        "kubectl",
        "--kubeconfig",
        pair.cloudFile("kubeconfig"),
        "exec",
        "app",
        "-c",
        "main",
        "--",
        ...sh,
        "-c",
        "echo up; sleep 60",
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    );
    await child.stdout.getReader().read();
    pair.link.cut();
    expect(await new Response(child.stderr).text()).toContain("the connection to the process is lost");
    expect(await child.exited).toBe(1);
    // The Node is Ready for a while after its link is lost.
    await until(20_000, async () => {
      const { out, err } = await kubectl({}, [
        "exec",
        "app",
        "-c",
        "main",
        "--",
        "/bin/busybox",
        "echo",
        "again",
      ]);
      return out === "again\n" || err;
    });
  });
});

/** The local ports of two that kubectl forwards; it ends when nobody takes what else it prints. */
async function portsOf(output: ReadableStream<Uint8Array>): Promise<number[]> {
  let text = "";
  const reader = output.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`kubectl forwards nothing: ${text}`);
    text += Buffer.from(value).toString();
    const found = [...text.matchAll(/127\.0\.0\.1:(\d+) ->/g)].map(([, port]) => Number(port));
    if (found.length === 2) return found;
  }
}
