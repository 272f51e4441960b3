import type { ChannelFrame, ProcessChannel } from "#shared/pod-streams";

/** Which streams of a process the client wants. */
export interface ProcessStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** The other end of exec and attach, in whatever protocol it speaks. */
export interface ProcessClient {
  /** Of the channels stdin, resize and close (of stdin). Ends or fails when the client leaves. */
  readonly input: ReadableStream<ChannelFrame>;
  /** Resolves once the client may be sent more. @throws ClosedError when it has gone */
  send(channel: ProcessChannel, bytes: Uint8Array): Promise<void>;
  /** Ends the connection after what was sent. */
  close(): Promise<void>;
}
