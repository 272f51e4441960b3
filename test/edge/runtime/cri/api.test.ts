import { status, type Server } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { parse, type Type } from "protobufjs";
import { CriCalls } from "#edge/runtime/cri/api";
import definitionText from "#internal/edge/runtime/cri/api/api.proto.txt" with { type: "text" };
import { decodeMessage, encodeMessage, grpcCodeOf, readDefinition } from "#shared/grpc";
import { serveCri } from "#internal/test/edge/runtime/cri/cri-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { systemClock as clock } from "#shared/clock";
import { AppError, UnavailableError } from "#shared/errors";

setDefaultTimeout(30_000);

/** The same definition as protobufjs, of which gRPC is a user, understands it. */
const { root } = parse(definitionText);
const { methods } = readDefinition(definitionText);
const theirs = (name: string): Type => root.lookupType(`runtime.v1.${name}`);
const asObjects = { longs: Number, enums: String, defaults: true, arrays: true, objects: true } as const;

const container = {
  podSandboxId: "sändbox",
  config: {
    metadata: { name: "c", attempt: 300 },
    image: { image: "app:1" },
    command: ["sh", "-c", ""],
    envs: [
      { key: "A", value: "b=c" },
      { key: "B", value: "" },
    ],
    mounts: [
      { containerPath: "/a", hostPath: "/b", readonly: true, propagation: "PROPAGATION_BIDIRECTIONAL" },
    ],
    labels: { one: "1", two: "" },
    stdin: true,
    linux: {
      resources: { oomScoreAdj: -998, memoryLimitInBytes: 2 ** 40, cpuShares: 2 },
      securityContext: {
        runAsUser: { value: 0 },
        supplementalGroups: [0, 5, 70_000],
        namespaceOptions: { network: "NODE", pid: "TARGET", ipc: "POD", targetId: "t" },
      },
    },
  },
};

describe("messages", () => {
  test("that are written here are read by protobufjs", () => {
    const { request } = methods.get("CreateContainer") ?? {};
    const bytes = request ? encodeMessage(request, container) : new Uint8Array();
    const type = theirs("CreateContainerRequest");
    expect(type.toObject(type.decode(bytes), asObjects)).toEqual(
      type.toObject(type.fromObject(container), asObjects),
    );
  });

  test("that protobufjs writes are read here, with the same defaults", () => {
    for (const [name, value] of [
      [
        "ContainerStatusResponse",
        {
          status: { id: "c", state: "CONTAINER_EXITED", finishedAt: 1_796_046_094_902_152_192, exitCode: -1 },
          info: { info: "{}" },
        },
      ],
      ["ExecSyncResponse", { stdout: Buffer.from([0, 255]), exitCode: 137 }],
      [
        "ListContainersResponse",
        {
          containers: [
            { id: "a", imageId: "i" },
            { id: "b", labels: { x: "y" } },
          ],
        },
      ],
    ] as const) {
      const type = theirs(name);
      const message = [...methods.values()].find(({ path }) =>
        path.endsWith(name.replace("Response", "")),
      )?.answer;
      const bytes = type.encode(type.fromObject(value)).finish();
      const read = message && decodeMessage(message, bytes);
      expect(JSON.parse(JSON.stringify(read))).toEqual(
        JSON.parse(JSON.stringify(type.toObject(type.decode(bytes), asObjects))),
      );
    }
  });

  test("of later versions are read without what is new in them", () => {
    const later = parse(
      "syntax = 'proto3'; message Later { string runtime_name = 2; message In { string a = 1; } In new = 9; fixed32 a = 10; double b = 11; int64 c = 12; }",
    ).root.lookupType("Later");
    const bytes = later
      .encode(later.fromObject({ runtimeName: "x", new: { a: "b" }, a: 1, b: 1.5, c: -1 }))
      .finish();
    const { answer } = methods.get("Version") ?? {};
    expect(answer && decodeMessage(answer, bytes)).toEqual({
      runtimeName: "x",
      runtimeVersion: "",
      runtimeApiVersion: "",
    });
  });

  test("that are cut are refused", () => {
    const { answer } = methods.get("Version") ?? {};
    const bytes = Uint8Array.of(18, 200, 1, 65);
    expect(() => answer && decodeMessage(answer, bytes)).toThrow("cannot be read");
  });

  test("have the fields that protobufjs finds, all of them", () => {
    const names = [...methods].map(([name, { request, answer }]) => [
      name,
      request.fields.length,
      answer.fields.length,
    ]);
    const found = ["RuntimeService", "ImageService"].flatMap((service) =>
      root
        .lookupService(`runtime.v1.${service}`)
        .methodsArray.map((method) => [
          method.name,
          theirs(method.requestType).fieldsArray.length,
          theirs(method.responseType).fieldsArray.length,
        ]),
    );
    expect(names).toEqual(found);
  });
});

describe("a server of gRPC", () => {
  const dir = tempDir("grpc");
  const path = join(dir.path, "engine.sock");
  let server: Server;
  const large = "x".repeat(3_000_000);
  /** Of the three events. */
  const sizes = [200_000, 1, 3_000_000];

  async function serve(): Promise<void> {
    server = await serveCri(path, {
      Version: (_call, answer) => answer(null, { runtimeName: "test", runtimeVersion: large }),
      Status: (_call, answer) => answer({ code: status.NOT_FOUND, details: "not found: 100 % ü" }),
      // It never answers.
      StopContainer: () => undefined,
      GetContainerEvents: (call) => {
        for (const [index, containerId] of ["a", "b", "c"].entries())
          call.write({
            containerId,
            containerEventType: 1,
            podSandboxStatus: { labels: { text: "x".repeat(sizes[index] ?? 0) } },
          });
        call.end();
      },
    });
  }

  beforeAll(serve);
  afterAll(() => {
    server.forceShutdown();
    dir[Symbol.dispose]();
  });
  const open = (timeoutMs = 10_000) => new CriCalls(`unix://${path}`, { clock, timeoutMs });

  test("answers with a large message", async () => {
    using calls = open();
    const [one, two] = await Promise.all([
      calls.call("ask", "Version", {}),
      calls.call("ask", "Version", {}),
    ]);
    expect([one.runtimeName, one.runtimeVersion === large, two.runtimeVersion === large]).toEqual([
      "test",
      true,
      true,
    ]);
  });

  test("answers with a status, which is undefined for what is looked for", async () => {
    using calls = open();
    expect(await calls.find("ask", "Status", {})).toBeUndefined();
    const error = await calls.call("ask", "Status", {}).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "container-not-found", message: "Cannot ask: not found: 100 % ü" });
  });

  test("says that it does not have a method", async () => {
    using calls = open();
    const error = await calls.call("ask", "RuntimeConfig", {}).catch((thrown: AppError) => thrown);
    expect(error instanceof AppError && grpcCodeOf(error.cause)).toBe(status.UNIMPLEMENTED);
  });

  test("delivers a stream to its end", async () => {
    using calls = open();
    const events = await Array.fromAsync(
      calls.stream("follow", "GetContainerEvents", {}, new AbortController().signal),
    );
    expect(events.map(({ containerId, containerEventType }) => [containerId, containerEventType])).toEqual([
      ["a", "CONTAINER_STARTED_EVENT"],
      ["b", "CONTAINER_STARTED_EVENT"],
      ["c", "CONTAINER_STARTED_EVENT"],
    ]);
  });

  test("that does not answer fails a call in time, or when the caller aborts", async () => {
    using calls = open(100);
    const request = { containerId: "c", timeout: 0 };
    expect(
      await calls.call("stop", "StopContainer", request).catch((error: unknown) => error),
    ).toBeInstanceOf(UnavailableError);
    const caller = new AbortController();
    const stopped = calls.call("stop", "StopContainer", request, {
      signal: caller.signal,
      timeoutMs: Infinity,
    });
    caller.abort(new Error("enough"));
    await expect(stopped).rejects.toThrow("enough");
  });

  test("sends small and large messages in one stream", async () => {
    using calls = open();
    const found: number[] = [];
    const { signal } = new AbortController();
    for await (const { podSandboxStatus } of calls.stream("follow", "GetContainerEvents", {}, signal))
      found.push(podSandboxStatus?.labels["text"]?.length ?? 0);
    expect(found).toEqual(sizes);
  });

  test("to which the connection ends while a call begins does not answer", async () => {
    const calls = open();
    await calls.call("ask", "Version", {});
    const asked = calls.call("ask", "Version", {}).catch((error: unknown) => error);
    calls[Symbol.dispose]();
    expect(await asked).toMatchObject({ code: "engine-away" });
  });

  test("that was away is called again", async () => {
    using calls = open();
    await calls.call("ask", "Version", {});
    const waiting = calls.call(
      "stop",
      "StopContainer",
      { containerId: "c", timeout: 0 },
      { timeoutMs: Infinity },
    );
    server.forceShutdown();
    expect(await waiting.catch((error: unknown) => error)).toBeInstanceOf(UnavailableError);
    rmSync(path, { force: true });
    expect(await calls.call("ask", "Version", {}).catch((error: unknown) => error)).toBeInstanceOf(
      UnavailableError,
    );
    await serve();
    expect((await calls.call("ask", "Version", {})).runtimeName).toBe("test");
  });
});
