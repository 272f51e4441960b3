import type { Context, MiddlewareHandler } from "hono";
import { quote } from "#shared/errors";
import { isOwnHost, isOwnOrigin } from "./own-hosts.ts";
import type { TokenFile } from "./token-file.ts";

export interface GuardOptions {
  /** Addresses it is configured to listen on, besides the loopback. */
  readonly addresses: readonly string[];
  /** Without it every process of this machine may send requests. */
  readonly token: TokenFile | undefined;
  /** Called for each refused request. */
  readonly refused?: (reason: string) => void;
}

type Verdict = { readonly code: 401 | 403 | 405 | 415; readonly text: string } | undefined;

/** What a page may send to other origins without being asked (Fetch, "CORS-safelisted"): no program needs it. */
const simpleTypes = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
const bodyless = ["GET", "HEAD", "DELETE"];

/** Middleware that lets pass what a program sends, and nothing that a web page makes a browser send. */
export function guardLocally(options: GuardOptions): MiddlewareHandler {
  return async (context, next) => {
    const verdict = judge(options, context);
    if (verdict) {
      options.refused?.(verdict.text);
      if (verdict.code === 401) context.header("WWW-Authenticate", "Bearer");
      return context.json({ error: verdict.text }, verdict.code);
    }
    await next();
    // Should a page get at an answer all the same, it is no script, style or frame to it.
    context.header("X-Content-Type-Options", "nosniff");
    context.header("Cross-Origin-Resource-Policy", "same-origin");
    context.header("Cache-Control", "no-store");
    return undefined;
  };
}

function judge({ addresses, token }: GuardOptions, { req }: Context): Verdict {
  const origin = req.header("origin");
  if (origin !== undefined && !isOwnOrigin(origin, addresses))
    return { code: 403, text: `origin ${shown(origin)} may not ask here: web pages of others are refused` };
  const site = req.header("sec-fetch-site");
  if (site !== undefined && site !== "same-origin" && site !== "none")
    return { code: 403, text: "a request that a web page of others makes is refused" };
  if (req.method === "OPTIONS") return { code: 405, text: "there is no CORS here" };
  if (token) {
    if (!token.allows(req.header("authorization")))
      return {
        code: 401,
        text: "expected the header Authorization: Bearer <token> with the configured token",
      };
  } else if (!isOwnHost(req.header("host"), addresses)) {
    const names = ["localhost", "127.0.0.1", "[::1]", ...addresses].join(", ");
    return { code: 403, text: `host ${shown(req.header("host") ?? "")} is not served here, only ${names}` };
  }
  return judgeBody(req.method, req.header("content-type"));
}

function judgeBody(method: string, contentType: string | undefined): Verdict {
  if (bodyless.includes(method)) return undefined;
  const type = (contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (type !== "" && !simpleTypes.includes(type)) return undefined;
  return { code: 415, text: `content type ${shown(type)} is not taken: send application/json` };
}

function shown(text: string): string {
  return quote(text.slice(0, 200));
}
