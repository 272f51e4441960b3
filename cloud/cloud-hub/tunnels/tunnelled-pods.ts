import { describeError } from "#shared/errors";
import type { KubeletRequest, KubeletTunnel, TunnelConnection } from "#shared/kubelet-tunnel";
import type { Clock } from "#shared/clock";
import { withDeadline } from "#shared/lifecycle";
import {
  encodeChannel,
  PodRefusal,
  readChannels,
  readPodStreamHead,
  refusePod,
  type PodForwardRequest,
  type PodLogsRequest,
  type PodStreamRequest,
  type ProcessChannel,
} from "#shared/pod-streams";
import { SpdySession, type SpdyStream } from "#shared/spdy";
import { encodeBlock, serveOver, type ByteStream } from "#shared/streams";
import { bodyOf, readKubeletAnswer, type KubeletAnswer } from "./kubelet-answer.ts";

type ProcessWanted = Extract<PodStreamRequest, { kind: "exec" | "attach" }>;
type HeaderField = readonly [name: string, value: string];

/** A kubelet prepares a log or a process within milliseconds; a slow link takes seconds. */
const answerMs = 25_000;
const longestRefusal = 4096;

interface Served {
  readonly stream: ByteStream;
  readonly tunnel: Pick<KubeletTunnel, "open">;
  readonly clock: Clock;
}

/**
 * Serves a stream to a pod (`shared/pod-streams`) on a node of KubeEdge: by the HTTP of its kubelet, over its tunnel. Never rejects.
 */
export async function servePodByTunnel(served: Served): Promise<void> {
  const { stream } = served;
  let isAccepted = false;
  const accept = async (): Promise<void> => {
    isAccepted = true;
    const writer = stream.writable.getWriter();
    await writer.write(encodeBlock({ status: "Success" }));
    writer.releaseLock();
  };
  try {
    const request = readPodStreamHead(stream.head);
    if (request.kind === "proxy") return await refuseProxied(stream);
    await serve(request, served, accept);
  } catch (error) {
    if (isAccepted) stream.reset(describeError(error));
    else await refuse(stream, error);
  }
}

/** Serves an HTTP request to the kubelet of a node of KubeEdge. Never rejects. */
export async function serveKubeletByTunnel(served: Served): Promise<void> {
  await serveOver(served.stream, "http://kubelet.invalid", async ({ method, url, headers }) => {
    const { pathname, search } = new URL(url);
    const fields: HeaderField[] = [["Connection", "close"], ...headers];
    const { answer } = await send(served, { method, path: pathname + search, headers: fields });
    const type = answer.headers.get("content-type");
    return new Response(bodyOf(answer), {
      status: answer.status >= 200 ? answer.status : 502,
      ...(type !== undefined && { headers: { "Content-Type": type } }),
    });
  });
}

async function serve(
  request: Exclude<PodStreamRequest, { kind: "proxy" }>,
  served: Served,
  accept: () => Promise<void>,
): Promise<void> {
  switch (request.kind) {
    case "logs":
      return serveLog(request, served, accept);
    case "exec":
    case "attach":
      return serveProcess(request, served, accept);
    case "port-forward":
      return servePort(request, served, accept);
  }
}

/** An HTTP request is answered by a response. */
async function refuseProxied(stream: ByteStream): Promise<void> {
  const refusal = refusePod.unavailable("the edgecore of KubeEdge on this node passes no requests to pods");
  await serveOver(stream, "http://pod.invalid", async () =>
    Response.json(refusal.toStatus(), { status: refusal.httpStatus }),
  );
}

async function refuse(stream: ByteStream, error: unknown): Promise<void> {
  const refusal = error instanceof PodRefusal ? error : refusePod.unavailable(describeError(error));
  try {
    const writer = stream.writable.getWriter();
    await writer.write(encodeBlock(refusal.toStatus()));
    await writer.close();
  } catch {
    // The caller has gone.
  }
}

async function serveLog(request: PodLogsRequest, served: Served, accept: () => Promise<void>): Promise<void> {
  const { namespace, name, container, source } = request;
  if (source) throw refusePod.badRequest("the kubelet of this node does not tell stdout and stderr apart");
  const path = `/containerLogs/${[namespace, name, container].map(encodeURIComponent).join("/")}`;
  const { answer } = await ask(served, {
    method: "GET",
    path: `${path}?${logQuery(request).toString()}`,
    headers: [["Connection", "close"]],
    status: 200,
  });
  await accept();
  await bodyOf(answer).pipeTo(served.stream.writable);
}

function logQuery(request: PodLogsRequest): URLSearchParams {
  const { follow, previous, timestamps, sinceSeconds, sinceTime, tailLines, limitBytes } = request;
  const options = { follow, previous, timestamps, sinceSeconds, sinceTime, tailLines, limitBytes };
  const given = Object.entries(options).filter(([, value]) => value !== undefined && value !== false);
  return new URLSearchParams(given.map(([key, value]): [string, string] => [key, String(value)]));
}

async function serveProcess(
  request: ProcessWanted,
  served: Served,
  accept: () => Promise<void>,
): Promise<void> {
  const { namespace, name, uid, container, stdin, stdout, stderr, tty } = request;
  const parts = [namespace, name, ...(uid === undefined ? [] : [uid]), container];
  const query = new URLSearchParams(
    request.kind === "exec" ? request.command.map((word): [string, string] => ["command", word]) : [],
  );
  for (const [key, isOn] of Object.entries({ input: stdin, output: stdout, error: stderr, tty }))
    if (isOn) query.set(key, "1");
  const path = `/${request.kind}/${parts.map(encodeURIComponent).join("/")}?${query.toString()}`;
  const session = await openSession(served, path, "v4.channel.k8s.io");
  const names = [
    "error",
    ...(stdin ? ["stdin"] : []),
    ...(stdout ? ["stdout"] : []),
    ...(stderr ? ["stderr"] : []),
    ...(tty ? ["resize"] : []),
  ];
  const streams = new Map<string, SpdyStream>();
  for (const streamtype of names)
    streams.set(streamtype, await session.open(new Map([["streamtype", streamtype]])));
  await accept();
  void passInput(served.stream.readable, streams);
  const writer = served.stream.writable.getWriter();
  const pass = async (channel: ProcessChannel): Promise<void> => {
    for await (const bytes of streams.get(channel)?.readable ?? [])
      await writer.write(encodeChannel(channel, bytes));
  };
  const outcome = collect(streams.get("error")?.readable);
  await Promise.all([pass("stdout"), pass("stderr")]);
  const status = await outcome;
  // As kubelet does: a success is said too.
  if (status === "") throw new Error("the kubelet of the node did not say how the process ended");
  await writer.write(encodeChannel("error", new TextEncoder().encode(status)));
  await writer.close();
  await session.close();
}

/** Never rejects: what it fails with, the output of the process tells. */
async function passInput(
  readable: ReadableStream<Uint8Array>,
  streams: ReadonlyMap<string, SpdyStream>,
): Promise<void> {
  const stdin = writerOf(streams.get("stdin"));
  const resize = writerOf(streams.get("resize"));
  // A process that has closed its input goes on with its output.
  const take: Partial<Record<ProcessChannel, (bytes: Uint8Array) => Promise<void> | undefined>> = {
    stdin: (bytes) => stdin?.write(bytes).catch(() => undefined),
    close: () => stdin?.close().catch(() => undefined),
    resize: (bytes) => resize?.write(bytes),
  };
  try {
    for await (const { channel, bytes } of readChannels(readable)) await take[channel]?.(bytes);
    await stdin?.close();
  } catch {
    // Either side has gone, which ends the other.
  }
}

function writerOf(stream: SpdyStream | undefined): WritableStreamDefaultWriter<Uint8Array> | undefined {
  const writer = stream?.writable.getWriter();
  writer?.closed.catch(() => undefined);
  return writer;
}

async function servePort(
  { namespace, name, uid, port }: PodForwardRequest,
  served: Served,
  accept: () => Promise<void>,
): Promise<void> {
  const parts = [namespace, name, ...(uid === undefined ? [] : [uid])];
  const session = await openSession(
    served,
    `/portForward/${parts.map(encodeURIComponent).join("/")}`,
    "portforward.k8s.io",
  );
  const headers = (streamtype: string) =>
    new Map([
      ["streamtype", streamtype],
      ["port", String(port)],
      ["requestid", "0"],
    ]);
  const errors = await session.open(headers("error"));
  await errors.writable.close();
  const data = await session.open(headers("data"));
  await accept();
  const failure = collect(errors.readable);
  const { stream } = served;
  const toPod = stream.readable.pipeTo(data.writable).catch(() => undefined);
  await data.readable.pipeTo(stream.writable, { preventClose: true });
  const why = await failure;
  if (why !== "") throw new Error(why);
  await stream.writable.close();
  await toPod;
  await session.close();
}

/** @throws PodRefusal with what the kubelet answers */
async function openSession(served: Served, path: string, protocol: string): Promise<SpdySession> {
  const headers: HeaderField[] = [
    ["Connection", "Upgrade"],
    ["Upgrade", "SPDY/3.1"],
    ["X-Stream-Protocol-Version", protocol],
  ];
  const { answer, connection } = await ask(served, { method: "POST", path, headers, status: 101 });
  const { writable, closed } = connection;
  const session = new SpdySession({
    connection: { readable: answer.rest, writable, closed, destroy: () => connection.destroy() },
    mostStreams: 0,
  });
  void session.closed.then(() => connection.destroy());
  return session;
}

interface Asked {
  readonly answer: KubeletAnswer;
  readonly connection: TunnelConnection;
}

/**
 * @param status what the kubelet answers when it does as it is asked
 * @throws PodRefusal with what the kubelet answers instead, or that it does not answer
 */
async function ask(
  served: Served,
  { status, ...request }: KubeletRequest & { readonly status: number },
): Promise<Asked> {
  const asked = await send(served, request);
  if (asked.answer.status === status) return asked;
  const refusal = await refusalOf(asked.answer);
  asked.connection.destroy();
  throw refusal;
}

/** @throws PodRefusal when the kubelet does not answer */
async function send({ tunnel, stream, clock }: Served, request: KubeletRequest): Promise<Asked> {
  const connection = tunnel.open(request);
  void stream.closed.then(() => connection.destroy());
  // Who writes to the stream may wait for its reader, and would not see it.
  void connection.closed.then((reason) => reason !== undefined && stream.reset(reason));
  const what = "the answer of the node's kubelet";
  try {
    const answer = await withDeadline(clock, { ms: answerMs, what }, () =>
      readKubeletAnswer(connection.readable),
    );
    return { answer, connection };
  } catch (error) {
    connection.destroy();
    throw refusePod.timeout(`the node cannot be asked: ${describeError(error)}`);
  }
}

async function refusalOf(answer: KubeletAnswer): Promise<PodRefusal> {
  const text = (await collect(bodyOf(answer))).trim();
  const { status } = answer;
  const reason = reasons[status] ?? "InternalError";
  return new PodRefusal(
    status >= 400 ? status : 500,
    reason,
    text || `the kubelet of the node answered ${status}`,
  );
}

const reasons: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** The text of a stream, shortened. What cannot be read is left out. */
async function collect(readable: ReadableStream<Uint8Array> | undefined): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const bytes of readable ?? []) {
      size += bytes.length;
      pieces.push(bytes);
      if (size > longestRefusal) break;
    }
  } catch {
    // What came before is what there is to tell.
  }
  return Buffer.concat(pieces).toString("utf8", 0, longestRefusal);
}
