import { describeError, ProtocolError } from "#shared/errors";
import {
  imageJobService,
  readImageJobReport,
  type ImageJobReport,
  type ImageJobRequest,
} from "#shared/image-jobs";
import { encodeBlock, readBlocks, type ByteStream } from "#shared/streams";

export interface NodePull {
  readonly openStream: (service: string) => Promise<ByteStream>;
  readonly request: ImageJobRequest;
  readonly onReport: (report: ImageJobReport) => void;
  readonly signal: AbortSignal;
}

/**
 * Has one node pull the images of a job; resolves once it has reported the end.
 * @throws UnavailableError or ClosedError when the node cannot be reached, or no longer; ProtocolError for a report that is
 * none; the reason of the signal, which ends the work of the node
 */
export async function pullOnNode({ openStream, request, onReport, signal }: NodePull): Promise<void> {
  const block = encodeBlock(request);
  // A node says one thing a step and an image.
  const mostReports = 2 * request.images.length + 8;
  const stream = await openStream(imageJobService);
  const stop = (): void => stream.reset(describeError(signal.reason));
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    await stream.writable.getWriter().write(block);
    let count = 0;
    for await (const value of readBlocks(stream.readable)) {
      const report = readImageJobReport(value);
      count += 1;
      if (!report || count > mostReports) throw new ProtocolError("bad-image-job", "the node sent no report");
      onReport(report);
      if (report.kind === "end") return;
    }
    throw new ProtocolError("no-image-job", "the node ended the stream without a result");
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    stream.reset("the job has ended on this node");
  }
}
