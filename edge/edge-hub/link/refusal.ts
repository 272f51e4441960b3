import type { IncomingMessage } from "node:http";
import type { Clock } from "#shared/clock";

/** A refusal is a sentence or two; a proxy may answer a page, of which the start has to do. */
const mostBytes = 1000;
const mostCharacters = 600;
/** For the body to arrive; without it the status alone is logged. */
const withinMs = 2000;

/** Why cloudcore refused the handshake, in the words of its answer, and what to do about it. */
export async function explainRefusal(response: IncomingMessage, clock: Clock): Promise<string> {
  const text = await readStart(response, clock);
  const code = response.statusCode ?? 0;
  const what = `cloudcore answers ${code} to the handshake${text === "" ? "" : `: ${text}`}`;
  const isForbidden = code === 401 || code === 403;
  // Answers of our cloud name the remedy already.
  const hasRemedy = text.includes("cloudcore node") || text.includes("cloudcore token");
  return isForbidden && !hasRemedy
    ? `${what}; join again with a new token (\`cloudcore token\`), or give the node its old name back in edged.hostname-override`
    : what;
}

/** Retry-After (RFC 9110, 10.2.3) in seconds or as a date; undefined when there is none that can be read. */
export function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** The start of the answer as one line; a peer may never end it, or send no text. */
async function readStart(response: IncomingMessage, clock: Clock): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const chunks: Buffer[] = [];
  let size = 0;
  using _limit = clock.after(withinMs, resolve);
  response.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= mostBytes) resolve();
  });
  for (const event of ["end", "error", "close"]) response.once(event, () => resolve());
  await promise;
  const text = Buffer.concat(chunks).toString("utf8").slice(0, mostCharacters);
  return text.replaceAll(/[\p{C}\s]+/gu, " ").trim();
}
