/** What a socket takes at once. */
const pieceBytes = 64 * 1024;
/** One answer with the longest history, or many small ones; more is refused until a reader has read. */
const limitBytes = 32 * 1024 * 1024;

/** Answers that are not small go out piece by piece; what waits for readers is bounded in all. */
export class LargeAnswers {
  #bytes = 0;

  async pace(response: Response): Promise<Response> {
    const body = new Uint8Array(await response.arrayBuffer());
    const { status, headers } = response;
    if (body.length <= pieceBytes) return new Response(body.length === 0 ? null : body, { status, headers });
    if (this.#bytes + body.length > limitBytes)
      return Response.json(
        { error: "too many large answers wait for their readers, try again later" },
        { status: 429, headers: { "Retry-After": "1" } },
      );
    return new Response(this.#stream(body), { status, headers });
  }

  #stream(body: Uint8Array): ReadableStream<Uint8Array> {
    this.#bytes += body.length;
    let offset = 0;
    const over = (): void => {
      if (offset < 0) return;
      offset = -1;
      this.#bytes -= body.length;
    };
    return new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          controller.enqueue(body.subarray(offset, offset + pieceBytes));
          offset += pieceBytes;
          if (offset < body.length) return;
          over();
          controller.close();
        },
        cancel: over,
      },
      { highWaterMark: 1 },
    );
  }
}
