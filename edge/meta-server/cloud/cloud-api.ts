import type { Clock } from "#shared/clock";
import { ProtocolError, UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import { fetchOver, type ByteStream, type RequestHead } from "#shared/streams";

/** Opens a stream to cloudcore. Rejects with UnavailableError when there is no link, or the cloud has no streams. */
export type OpenStream = (head: RequestHead) => Promise<ByteStream>;

export interface ApiCall {
  readonly method: string;
  /** with the query */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body?: ReadableStream<Uint8Array> | null;
  readonly signal?: AbortSignal;
}

export interface JsonCall {
  readonly token: string;
  readonly method: string;
  readonly path: string;
  readonly object?: unknown;
  readonly signal?: AbortSignal;
}

/** cloudcore marks answers that are its own and not those of the API. */
const unavailableHeader = "kubeedge-unavailable";
/** A JSON answer to the node itself: a set of keys, or rules of one account. */
const longestAnswer = 4 * 1024 * 1024;
/** The document of kube-apiserver's core group has about 1.5 MB; those of CRDs may be larger. */
const longestDocument = 16 * 1024 * 1024;
/** Until the head of a response is there: cloudcore itself aborts after 70 s. */
const headMs = 90_000;
const jsonMs = 30_000;

/** The Kubernetes API that cloudcore uses, over the link. */
export class CloudApi {
  readonly #open: OpenStream;
  readonly #clock: Clock;

  constructor(open: OpenStream, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
  }

  /**
   * The response of the API as soon as its head is there.
   * @throws UnavailableError or ClosedError when the API cannot be asked
   */
  async send({ method, path, headers, body = null, signal }: ApiCall): Promise<Response> {
    const stream = await this.#open({ service: "kube-api", method, path, headers });
    const late = new AbortController();
    using _limit = this.#clock.after(headMs, () => late.abort());
    const response = await fetchOver(stream, body, either(signal, late.signal));
    if (!response.headers.has(unavailableHeader)) return response;
    await response.body?.cancel();
    throw new UnavailableError("api-unavailable", "The cloud cannot ask its Kubernetes API");
  }

  /** Asks with a token of the node's own. @throws as `send`, and ProtocolError for an answer that is of no use */
  async json({ token, method, path, object, signal }: JsonCall): Promise<unknown> {
    const what = `${method} ${path}`;
    return withDeadline(this.#clock, { ms: jsonMs, what, signal }, (over) =>
      this.#json({ token, method, path, object, signal: over }),
    );
  }

  /** A public document of the API, which cloudcore reads for the node. @throws as `json` */
  async text(path: string): Promise<string> {
    return withDeadline(this.#clock, { ms: jsonMs, what: `GET ${path}` }, async (signal) => {
      const headers = [["accept", "application/json"]] as const;
      const response = await this.send({ method: "GET", path, headers, signal });
      const text = await readText(response, longestDocument);
      if (!response.ok) throw refusalOf(`GET ${path}`, response, text);
      return text;
    });
  }

  async #json({ token, method, path, object, signal }: JsonCall): Promise<unknown> {
    const body = object === undefined ? null : new Response(JSON.stringify(object)).body;
    const response = await this.send({
      method,
      path,
      headers: [
        ["accept", "application/json"],
        ["authorization", `Bearer ${token}`],
        ...(body ? [["content-type", "application/json"] as const] : []),
      ],
      body,
      ...(signal && { signal }),
    });
    const text = await readText(response, longestAnswer);
    if (!response.ok) throw refusalOf(`${method} ${path}`, response, text);
    try {
      return JSON.parse(text) as unknown;
    } catch (cause) {
      throw new ProtocolError("api-answer", `${method} ${path} does not answer JSON`, { cause });
    }
  }
}

function either(one: AbortSignal | undefined, other: AbortSignal): AbortSignal {
  return one ? AbortSignal.any([one, other]) : other;
}

function refusalOf(what: string, { status }: Response, text: string): ProtocolError {
  return new ProtocolError("api-refusal", `${what} answers ${status}: ${text.slice(0, 300)}`);
}

async function readText(response: Response, longest: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > longest) throw new ProtocolError("api-answer", "the answer of the API is too long");
  }
  return text + decoder.decode();
}
