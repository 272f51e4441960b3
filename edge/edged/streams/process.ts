import { describeError } from "#shared/errors";
import { asRecord, tryJson } from "#shared/json";
import type { Status } from "#shared/kube";
import { encodeChannel, readChannels, refusePod, type ProcessRequest } from "#shared/pod-streams";
import type { ByteStream } from "#shared/streams";
import type { ExecStream, ProcessStream, TerminalSize } from "#edge/runtime";
import { JoinedWriter } from "./joined-writer.ts";

type Streams = Pick<ProcessRequest, "stdin" | "stdout" | "stderr" | "tty">;

/**
 * Connects a process with the channels of a stream until its output ends, and sends how it ended. What is typed after that is
 * dropped.
 */
export async function connectProcess(
  process: ProcessStream | ExecStream,
  streams: Streams,
  { readable, writable }: Pick<ByteStream, "readable" | "writable">,
): Promise<void> {
  const writer = new JoinedWriter(writable.getWriter());
  void passInput(process, streams, readable);
  for await (const { stream: channel, bytes } of process.output)
    if (streams[channel]) await writer.write(encodeChannel(channel, bytes));
  const status = "exitCode" in process ? await outcomeOf(process) : success;
  await writer.write(encodeChannel("error", new TextEncoder().encode(JSON.stringify(status))));
  await writer.close();
}

const success: Status = { metadata: {}, status: "Success" };

/** As kubelet reports it (`remotecommand.ServeExec`): kubectl reads the code out of the cause. */
async function outcomeOf(process: ExecStream): Promise<Status> {
  try {
    const code = await process.exitCode();
    return code === 0 ? success : failureOf(code);
  } catch (error) {
    return refusePod.internal(`error executing command in container: ${describeError(error)}`).toStatus();
  }
}

function failureOf(code: number): Status {
  return {
    metadata: {},
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

/** Passes input on until its end, and reads on after it: its sender would wait. Never rejects. */
async function passInput(
  process: ProcessStream,
  { stdin, tty }: Streams,
  readable: ReadableStream<Uint8Array>,
): Promise<void> {
  let isOpen = stdin;
  const end = async (): Promise<void> => {
    if (isOpen) await process.closeInput();
    isOpen = false;
  };
  try {
    for await (const { channel, bytes } of readChannels(readable)) {
      if (channel === "stdin" && isOpen) await process.write(bytes).catch(() => (isOpen = false));
      else if (channel === "close") await end();
      else if (channel === "resize" && tty) await resize(process, bytes);
    }
    await end();
  } catch {
    // The stream was reset, or the process has ended: its output says so.
  }
}

async function resize(process: ProcessStream, bytes: Uint8Array): Promise<void> {
  const size = sizeOf(bytes);
  // A process that has just ended has no terminal.
  if (size) await process.resize(size).catch(() => undefined);
}

/** `remotecommand.TerminalSize`; undefined for what is none. */
function sizeOf(bytes: Uint8Array): TerminalSize | undefined {
  const fields = asRecord(tryJson(new TextDecoder().decode(bytes)));
  const { Width: columns, Height: rows } = fields ?? {};
  return isLength(columns) && isLength(rows) ? { columns, rows } : undefined;
}

function isLength(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) < 2 ** 16;
}
