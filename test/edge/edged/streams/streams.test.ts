import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Container, Pod } from "#shared/kube";
import { askPod, PodRefusal } from "#shared/pod-streams";
import { fetchOver } from "#shared/streams";
import { eventually } from "#internal/scripts/service.ts";
import { busyboxImage, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { idle, isRunning, podOf, shell } from "#internal/test/support/edge/edged-world.ts";
import { converse, streamsWorld, type StreamsWorld } from "./streams-world.ts";

setDefaultTimeout(60_000);
const owner = `pod-streams-${process.pid}`;
const image = `kubeedge-pod-streams-${process.pid}:1`;
const sh = (script: string): readonly string[] => ["sh", "-c", script];

async function run(at: StreamsWorld, name: string, container: Container): Promise<Pod> {
  const pod = podOf(name, { containers: [container] });
  await at.edge.apply(pod);
  await at.edge.until("running", () => isRunning(at.edge, pod));
  return pod;
}

function ended(at: StreamsWorld, pod: Pod): boolean {
  const phase = at.edge.status(pod.metadata.uid ?? "")?.phase;
  return phase === "Succeeded" || phase === "Failed";
}

async function refusal(work: Promise<unknown>): Promise<[number, string]> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof PodRefusal)) throw error;
  return [error.httpStatus, error.message];
}

describe.skipIf(!hasEngine())("streams to pods on Docker", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("carry the log of a pod that has ended: whole, its tail, with times, and cut", async () => {
    await using at = await streamsWorld(owner);
    const pod = podOf("log", {
      restartPolicy: "Never",
      containers: [shell(image, "echo one; echo two; echo three >&2")],
    });
    await at.edge.apply(pod);
    await at.edge.until("ended", () => ended(at, pod));
    // Docker reads two pipes: which of two streams was first is not known.
    expect((await at.read(pod)).split("\n").toSorted()).toEqual(["", "one", "three", "two"]);
    expect(await at.read(pod, { source: "stdout" })).toBe("one\ntwo\n");
    expect(await at.read(pod, { source: "stderr" })).toBe("three\n");
    expect(await at.read(pod, { source: "stdout", limitBytes: 5 })).toBe("one\nt");
    expect(await at.read(pod, { tailLines: 0 })).toBe("");
    expect((await at.read(pod, { tailLines: 1 })).split("\n").length).toBe(2);
    expect(await at.read(pod, { source: "stderr", timestamps: true })).toMatch(
      /^\d{4}-\d\d-\d\dT\S+Z three\n$/,
    );
    expect(await at.read(pod, { sinceTime: "2100-01-01T00:00:00Z" })).toBe("");
    expect(await at.read(pod, { source: "stderr", sinceSeconds: 3600 })).toBe("three\n");
    expect(await at.read(pod, { source: "stderr", follow: true })).toBe("three\n");
  });

  test("follow a log until its container ends", async () => {
    await using at = await streamsWorld(owner);
    const pod = await run(at, "follow", {
      ...shell(image, "echo ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo later"),
    });
    const following = at.read(pod, { follow: true });
    expect(await (await at.exec(pod, sh("echo > /tmp/go"))).outcome()).toMatchObject({ status: "Success" });
    expect(await following).toBe("ready\nlater\n");
  });

  test("carry the log of the run before", async () => {
    await using at = await streamsWorld(owner);
    const pod = podOf("again", {
      containers: [shell(image, "echo run $$; while [ ! -e /tmp/end ]; do sleep 0.05; done; exit 1")],
    });
    await at.edge.apply(pod);
    await at.edge.until("running", () => isRunning(at.edge, pod));
    expect(await refusal(at.read(pod, { previous: true }))).toEqual([
      400,
      'previous terminated container "c" in pod "again" not found',
    ]);
    const before = await at.read(pod, { timestamps: true });
    await at.exec(pod, sh("echo > /tmp/end"));
    const restarts = (): number =>
      at.edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0]?.restartCount ?? 0;
    await at.edge.until("restarted", () => restarts() === 1 && isRunning(at.edge, pod), 40_000);
    expect(await at.read(pod, { previous: true, timestamps: true })).toBe(before);
    expect(await at.read(pod, { timestamps: true })).not.toBe(before);
  });

  test("are refused in kubelet's words", async () => {
    await using at = await streamsWorld(owner);
    const pod = await run(at, "here", shell(image, idle));
    const other = podOf("other", { containers: [shell(image, idle)] });
    const late = { ...pod, metadata: { ...pod.metadata, name: "here" } };
    const pulling = podOf("pulling", { containers: [shell("127.0.0.1:9/none:1", idle)] });
    await at.edge.apply(pulling);
    await at.edge.until("waiting", () => at.edge.status(pulling.metadata.uid ?? "") !== undefined);
    expect({
      unknown: await refusal(at.read(other)),
      replaced: await refusal(at.read(late, { uid: "another" })),
      container: await refusal(at.read(pod, { container: "none" })),
      waiting: (await refusal(at.read(pulling)))[0],
      exec: await refusal(at.exec(pod, ["true"], { container: "none" })),
      attach: await refusal(
        converse(
          at.open(other, {
            kind: "attach",
            container: "c",
            stdin: false,
            stdout: true,
            stderr: true,
            tty: false,
          }),
        ),
      ),
      port: await refusal(askPod(at.open(pod, { kind: "port-forward", port: 81 }))),
      head: await refusal(at.read(pod, { container: "" })),
    }).toEqual({
      unknown: [404, 'pod "other" does not exist'],
      replaced: [404, 'pod "here" does not exist'],
      container: [404, 'container "none" not found in pod "here"'],
      waiting: 400,
      exec: [404, 'container not found ("none")'],
      attach: [404, "pod does not exist"],
      port: [
        500,
        "error forwarding port: Cannot connect to port 81 of the pod: connection refused: nothing listens there",
      ],
      head: [400, 'field "container" of the request for a pod is missing or not valid'],
    });
  });

  test("run commands: output by channel, exit code, input and its end", async () => {
    await using at = await streamsWorld(owner);
    const pod = await run(at, "exec", shell(image, idle));
    const failing = await at.exec(pod, sh("echo out; echo err >&2; exit 7"));
    expect(await failing.outcome()).toEqual({
      metadata: {},
      status: "Failure",
      reason: "NonZeroExitCode",
      message: "command terminated with non-zero exit code: exit status 7",
      details: { causes: [{ reason: "ExitCode", message: "7" }] },
    });
    expect([failing.texts.stdout, failing.texts.stderr]).toEqual(["out\n", "err\n"]);
    const cat = await at.exec(pod, ["cat"], { stdin: true });
    const large = "x".repeat(200_000);
    await cat.type(`${large}\n`);
    await cat.endInput();
    expect(await cat.outcome()).toEqual({ metadata: {}, status: "Success" });
    expect(cat.texts.stdout.length).toBe(large.length + 1);
  });

  test("give a command a terminal of the size that is asked for, with every key", async () => {
    await using at = await streamsWorld(owner);
    const pod = await run(at, "tty", shell(image, idle));
    const script =
      "stty -echo; echo up; read -r line; stty size; echo $line; read -r key; echo $key | grep -c $(printf '\\020')";
    const terminal = await at.exec(pod, sh(script), { stdin: true, tty: true });
    await terminal.until("up");
    await terminal.resize(101, 43);
    await terminal.type("go\n");
    await terminal.until("43 101");
    await terminal.type("\u0010\n");
    expect(await terminal.outcome()).toEqual({ metadata: {}, status: "Success" });
    expect(terminal.texts.stdout).toEndWith("1\r\n");
  });

  test("attach to the main process, with its input if it has one", async () => {
    await using at = await streamsWorld(owner);
    const pod = await run(
      at,
      "attach",
      shell(image, "read -r line; echo got $line; exit 3", { stdin: true, stdinOnce: true }),
    );
    const asked = {
      kind: "attach",
      container: "c",
      stdin: true,
      stdout: true,
      stderr: true,
      tty: false,
    } as const;
    const attached = await converse(at.open(pod, asked));
    await attached.type("hello\n");
    expect(await attached.outcome()).toEqual({ metadata: {}, status: "Success" });
    expect(attached.texts.stdout).toBe("got hello\n");
  });

  test("connect to a port of the pod", async () => {
    await using at = await streamsWorld(owner);
    const pod = await run(at, "port", shell(image, "exec nc -ll -p 8080 -e cat"));
    const asked = { kind: "port-forward", port: 8080 } as const;
    let stream = at.open(pod, asked);
    let answer = await askPod(stream).catch(() => undefined);
    while (!answer) {
      stream = at.open(pod, asked);
      answer = await askPod(stream).catch(() => undefined);
    }
    const text = new Response(answer).text();
    const writer = stream.writable.getWriter();
    await writer.write(Buffer.from("hello"));
    await writer.close();
    expect(await text).toBe("hello");
    expect(await stream.closed).toEqual({ reason: undefined });
  });

  test("pass a request to a server in the pod, and refuse what cannot be reached", async () => {
    await using at = await streamsWorld(owner);
    const server = "mkdir /www; echo page > /www/index.html; exec busybox httpd -f -p 8080 -h /www";
    const pod = await run(at, "proxy", shell(image, server));
    const get = async (port: number, more: object = {}): Promise<readonly [number, string]> => {
      const head = { method: "GET", path: "/index.html", headers: [], ...more };
      const stream = at.open(pod, { kind: "proxy", scheme: "http", port }, head);
      const response = await fetchOver(stream, null);
      return [response.status, await response.text()];
    };
    // It listens a moment after it runs.
    await eventually(20_000, async () => expect(await get(8080)).toEqual([200, "page\n"]));
    const [status, text] = await get(81);
    expect([status, JSON.parse(text)]).toMatchObject([
      503,
      { reason: "ServiceUnavailable", message: expect.stringContaining("error trying to reach service: ") },
    ]);
    expect((await get(8080, { path: "/none" }))[0]).toBe(404);
  });

  test("end with the reason when the link is cut, and the engine is left alone", async () => {
    await using at = await streamsWorld(owner);
    const pod = await run(at, "cut", shell(image, idle));
    const command = await at.exec(pod, sh("echo up; cat; echo > /tmp/ended"), { stdin: true });
    await command.until("up");
    at.linked.cut();
    expect(await command.ended.catch(String)).toBe("ClosedError: the link is lost");
    // The command reads the end of its input: nothing of it stays.
    const wait = sh("while [ ! -e /tmp/ended ]; do sleep 0.05; done");
    const [container] = await at.runtime
      .list(pod.metadata.uid)
      .then((list) => list.filter((one) => one.identity.container === "c"));
    expect((await at.runtime.runCommand(container?.id ?? "", wait, { maxOutputBytes: 10 })).exitCode).toBe(0);
  });
});
