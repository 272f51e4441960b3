import type { IncomingMessage } from "node:http";
import type { Clock } from "#shared/clock";

const mostBytes = 1000;
const withinMs = 2000;

/** Why cloudcore made no link of a handshake, in its own words, and what to do about it. */
export async function explainRefusal(response: IncomingMessage, clock: Clock): Promise<string> {
  const said = await readStart(response, clock);
  const code = response.statusCode ?? 0;
  const what = `cloudcore answers ${code} to the handshake${said === "" ? "" : `: ${said}`}`;
  // Our cloud says itself what to do.
  return (code === 401 || code === 403) &&
    !said.includes("cloudcore node") &&
    !said.includes("cloudcore token")
    ? `${what}; join again with a new token (\`cloudcore token\`), or give the node its old name back in edged.hostname-override`
    : what;
}

/** One line of the answer; whoever answers may not end it, or send no text. */
async function readStart(response: IncomingMessage, clock: Clock): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const chunks: Buffer[] = [];
  using _limit = clock.after(withinMs, resolve);
  response.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    if (chunks.reduce((sum, { length }) => sum + length, 0) >= mostBytes) resolve();
  });
  for (const event of ["end", "error", "close"]) response.once(event, () => resolve());
  await promise;
  const text = Buffer.concat(chunks).toString("utf8").slice(0, 600);
  return text.replaceAll(/[\p{C}\s]+/gu, " ").trim();
}
