import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Clock } from "#shared/clock";
import { asError, describeError, UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";

export interface Post {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface PostAnswer {
  readonly status: number;
  readonly text: string;
}

/** KubeEdge's router reads as much of an answer. */
const largestAnswer = 1024 * 1024;

/**
 * Posts messages to URLs of rules. A user who may write rules is not one who may use what only this machine reaches: its
 * loopback and link-local addresses (of cloud metadata) are refused unless allowed. Redirects are not followed, for the same
 * reason.
 */
export class UrlPoster {
  readonly #clock: Clock;
  readonly #allowLocal: boolean;

  constructor(clock: Clock, { allowLocal }: { readonly allowLocal: boolean }) {
    this.#clock = clock;
    this.#allowLocal = allowLocal;
  }

  /** @throws UnavailableError when there is no answer, or the address is refused (code "refused-address") */
  async post({ url, headers, body, timeoutMs, signal }: Post): Promise<PostAnswer> {
    const what = `POST ${url}`;
    return withDeadline(this.#clock, { ms: timeoutMs, what, signal }, async (deadline) => {
      if (!this.#allowLocal) await refuseLocal(new URL(url).hostname);
      try {
        const response = await fetch(url, {
          method: "POST",
          headers,
          body: new Uint8Array(body),
          redirect: "manual",
          signal: deadline,
        });
        return { status: response.status, text: await readText(response) };
      } catch (error) {
        if (deadline.aborted) throw asError(deadline.reason);
        throw new UnavailableError("no-answer", `${what}: ${describeError(error)}`, { cause: error });
      }
    });
  }
}

async function readText({ body }: Response): Promise<string> {
  if (!body) return "";
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    parts.push(part);
    bytes += part.length;
    // The rest is not read: leaving the loop cancels the body.
    if (bytes >= largestAnswer) break;
  }
  return Buffer.concat(parts).toString("utf8", 0, Math.min(bytes, largestAnswer));
}

async function refuseLocal(host: string): Promise<void> {
  const name = host.replace(/^\[(.*)\]$/, "$1");
  const addresses = isIP(name) === 0 ? await addressesOf(name) : [name];
  const refused = addresses.find(isLocal);
  if (refused === undefined) return;
  const text = `${JSON.stringify(host)} is ${refused}, an address of cloudcore's machine or link: refused unless router.local-targets is true`;
  throw new UnavailableError("refused-address", text);
}

async function addressesOf(name: string): Promise<string[]> {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch (error) {
    throw new UnavailableError("no-address", `cannot find the address of ${JSON.stringify(name)}`, {
      cause: error,
    });
  }
}

/** Loopback, unspecified and link-local, also of IPv4 within IPv6. */
function isLocal(address: string): boolean {
  const v4 = /^(?:::ffff:)?(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? mappedAddress(address);
  if (v4 !== undefined) return /^(127|0)\.|^169\.254\./.test(v4);
  return /^(::|::1|0:0:0:0:0:0:0:[01])$|^fe[89ab][0-9a-f]:/i.test(address);
}

/** `::ffff:7f00:1`, as URLs write it. */
function mappedAddress(address: string): string | undefined {
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address) ?? [];
  if (high === undefined || low === undefined) return undefined;
  const bits = (Number.parseInt(high, 16) << 16) | Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join(".");
}
