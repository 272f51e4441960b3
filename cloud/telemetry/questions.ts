import type { ExtraReply } from "#cloud/kube-api/http";
import { AppError, describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { historyBounds, readWholeNumbers } from "#shared/query";
import type { HistoryAnswer } from "#shared/topics";
import type { TelemetryPort } from "./port.ts";
import type { UploadStore } from "./upload-store.ts";

/** The parameters of a question, as texts. */
export type GivenParameter = (name: string) => string | undefined;

export interface PropertyQuestion {
  readonly namespace: string;
  readonly device: string;
  readonly property: string;
  readonly given: GivenParameter;
  readonly signal?: AbortSignal | undefined;
}

export interface QuestionParts {
  readonly store: Pick<UploadStore, "page" | "dropped">;
  readonly port: TelemetryPort;
  readonly log: Logger;
  /** false: there is no device controller */
  readonly devices: boolean;
}

/** A node reads ten thousand values from its disk in less. */
const answerMs = 10_000;
const uploadBounds = {
  after: { fallback: 0, least: 0, most: Number.MAX_SAFE_INTEGER },
  limit: { fallback: 100, least: 1, most: 1000 },
};

/** What telemetry answers, over its own server and the embedded API alike. Every question gets a reply. */
export class Questions {
  readonly #parts: QuestionParts;

  constructor(parts: QuestionParts) {
    this.#parts = parts;
  }

  /** Uploads after an id, oldest first; `next` is where to go on, so that a reader gets each once and in order. */
  uploads(given: GivenParameter): ExtraReply {
    const read = readWholeNumbers(uploadBounds, given);
    if (!read.ok) return refuse(400, read.problem);
    const { store } = this.#parts;
    const { after, limit } = read.values;
    const uploads = store.page({
      node: given("node") || undefined,
      topic: given("topic") || undefined,
      after,
      limit,
    });
    return { ok: true, body: { uploads, next: uploads.at(-1)?.id ?? after, dropped: store.dropped } };
  }

  /** The history of a property, from the node the device is bound to. */
  async history(question: PropertyQuestion): Promise<ExtraReply> {
    const { port, log, devices } = this.#parts;
    const { namespace, device, property, given, signal } = question;
    const read = readWholeNumbers(historyBounds, given);
    if (!read.ok) return refuse(400, read.problem);
    if (property === "") return refuse(400, "property: expected the name of a property, got nothing");
    if (!devices) return refuse(404, "devices are not managed here: devicecontroller.enabled is false");
    const name = `device "${namespace}/${device}"`;
    try {
      const place = await port.ask("device.find", { namespace, name: device });
      if (!place) return refuse(404, `${name} not found`);
      const { node } = place;
      if (node === undefined) return refuse(404, `${name} is on no node: its spec.nodeName is empty`);
      return readAnswer(node, await this.#askNode(node, question, read.values));
    } catch (error) {
      if (signal?.aborted) return refuse(503, "the client disconnected");
      if (!(error instanceof AppError)) throw error;
      log.debug("a node did not answer for history", { device, namespace, error: describeError(error) });
      return explain(error);
    }
  }

  #askNode(
    node: string,
    { namespace, device, property, signal }: PropertyQuestion,
    range: Readonly<Record<keyof typeof historyBounds, number>>,
  ): Promise<HistoryAnswer> {
    const question = { node, namespace, device, property, ...range, timeoutMs: answerMs };
    return this.#parts.port.ask("device.history", question, { signal });
  }
}

function readAnswer(node: string, answer: HistoryAnswer): ExtraReply {
  switch (answer.kind) {
    case "values":
      return { ok: true, body: { ...answer.document, node } };
    case "refused": {
      const { code, reason } = answer;
      return refuse(code === 400 || code === 404 ? code : 502, `node "${node}": ${reason}`);
    }
    case "failed":
      return refuse(503, `node "${node}" cannot read the values: ${answer.reason.slice(0, 300)}`);
    case "unreadable":
      return refuse(502, `node "${node}" gave an answer without values`);
  }
}

function explain(error: AppError): ExtraReply {
  if (error.code !== "timeout") return refuse(503, error.message);
  const why = "it is busy, or runs an edgecore that does not know this question";
  return refuse(504, `${error.message}; ${why}`);
}

function refuse(code: number, text: string): ExtraReply {
  return { ok: false, code, text };
}
