import { refusals } from "#cloud/kube-api/status";

const version = "meta.k8s.io/v1";

/** A place in a list: the revision that is listed, and the key its last page ended with. */
export interface ListPlace {
  readonly revision: number;
  readonly after: string;
}

/** Which list a token belongs to. */
export interface TokenScope {
  /** `<group>/<plural>` */
  readonly resource: string;
  /** `<namespace>/`, or empty for all */
  readonly prefix: string;
}

/**
 * The `continue` of a list, in upstream's form. The key in it is relative to the list, so that a forged one leads nowhere
 * else.
 */
export function writeContinue({ resource, prefix }: TokenScope, { revision, after }: ListPlace): string {
  const token = { v: version, rv: revision, start: `${after.slice(prefix.length)}\0`, of: resource + prefix };
  return Buffer.from(JSON.stringify(token)).toString("base64url");
}

/** @throws Refusal: BadRequest for what is no token, Expired for one of another list or of a revision that is not kept */
export function readContinue(
  token: string | null,
  { resource, prefix }: TokenScope,
  kept: { readonly oldest: number; readonly newest: number },
): ListPlace | undefined {
  if (token === null || token === "") return undefined;
  const { rv, start, list } = checked(decoded(token));
  if (list !== resource + prefix)
    throw refusals.expired(`The provided continue parameter is of another list. ${startAgain}`);
  if (rv < kept.oldest || rv > kept.newest)
    throw refusals.expired(
      `The provided continue parameter is too old to display a consistent list result. ${startAgain}`,
    );
  return { revision: rv, after: prefix + start.replace(/\0$/, "") };
}

function checked({ v, rv, start, of: list }: Record<string, unknown>): {
  rv: number;
  start: string;
  list: unknown;
} {
  if (v !== version)
    throw malformed(`server does not recognize this encoded version ${JSON.stringify(v ?? "")}`);
  if (typeof rv !== "number" || !Number.isSafeInteger(rv) || rv <= 0)
    throw malformed(`incorrect encoded start resourceVersion (version ${version})`);
  if (typeof start !== "string" || start === "")
    throw malformed(`encoded start key empty (version ${version})`);
  return { rv, start, list };
}

const startAgain = "You must start a new list without the continue parameter.";
/** Characters: a namespace and a name have 316 at most. */
const longestToken = 4096;

function decoded(token: string): Record<string, unknown> {
  if (token.length > longestToken || !/^[A-Za-z0-9_-]+$/.test(token)) throw malformed("illegal base64 data");
  try {
    const value: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (typeof value === "object" && value !== null) return { ...value };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw malformed("it holds no JSON object");
}

function malformed(why: string): Error {
  return refusals.badRequest(`invalid continue token: continue key is not valid: ${why}`);
}
