import { createHash } from "node:crypto";
import { isAllowed, resources, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { asText, recordOf } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import { BoundedCache } from "#shared/lifecycle";

/** Who sends a request, as TokenReview names them. */
export interface Caller {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: unknown;
}

export interface RuleUse {
  readonly namespace: string;
  readonly rule: string;
  readonly method: string;
}

/** A token that is revoked, or a right that is taken back, works for so long. */
const keepMs = 5_000;
/** Some 2 MB. */
const mostKept = 4_096;
/** Reviews of tokens at once: strangers who try tokens must not keep the API busy. */
const mostReviews = 64;
const longestToken = 16 * 1024;

const verbs: Readonly<Record<string, string>> = {
  GET: "get",
  HEAD: "get",
  OPTIONS: "get",
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** The verb of Kubernetes for a method. @returns undefined for methods that are not served */
export function verbOfMethod(method: string): string | undefined {
  return Object.hasOwn(verbs, method) ? verbs[method] : undefined;
}

/** Asks the API who may use which rule, and remembers the answers for a few seconds. */
export class Access {
  readonly #kube: KubeClient;
  readonly #callers: BoundedCache<Caller | undefined>;
  readonly #decisions: BoundedCache<boolean>;
  #reviews = 0;

  constructor(kube: KubeClient, clock: Clock) {
    this.#kube = kube;
    this.#callers = new BoundedCache({ clock, keepMs, most: mostKept });
    this.#decisions = new BoundedCache({ clock, keepMs, most: mostKept });
  }

  /**
   * @returns undefined for a token that is missing or not valid
   * @throws UnavailableError or KubeError when the API cannot say
   */
  async identify(authorization: string | undefined): Promise<Caller | undefined> {
    const token = /^bearer[ \t]+(\S+)[ \t]*$/i.exec(authorization ?? "")?.[1];
    if (token === undefined || token.length > longestToken) return undefined;
    const key = createHash("sha256").update(token).digest("base64");
    return this.#callers.get(key, () => this.#review(token));
  }

  /** @throws UnavailableError or KubeError when the API cannot say */
  async mayUse(caller: Caller, { namespace, rule: name, method }: RuleUse): Promise<boolean> {
    const verb = verbOfMethod(method) ?? "";
    const key = JSON.stringify([caller, namespace, name, verb]);
    const rules = { group: "rules.kubeedge.io", version: "v1", resource: "rules", subresource: "proxy" };
    const { name: user, uid, groups, extra } = caller;
    const resourceAttributes = { ...rules, namespace, name, verb };
    return this.#decisions.get(key, () =>
      isAllowed(this.#kube, { user, uid, groups, extra, resourceAttributes }),
    );
  }

  async #review(token: string): Promise<Caller | undefined> {
    if (this.#reviews >= mostReviews)
      throw new UnavailableError("busy", "too many tokens are being reviewed");
    this.#reviews += 1;
    try {
      const review = await this.#kube.create<KubeObject>(resources.tokenReviews, {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        metadata: {},
        spec: { token },
      });
      return callerOf(recordOf(review["status"]));
    } finally {
      this.#reviews -= 1;
    }
  }
}

function callerOf(status: Readonly<Record<string, unknown>>): Caller | undefined {
  if (status["authenticated"] !== true) return undefined;
  const { username, uid, groups, extra } = recordOf(status["user"]);
  const name = asText(username);
  if (name === "") return undefined;
  return { name, uid: asText(uid), groups: Array.isArray(groups) ? groups.map(asText) : [], extra };
}
