import { randomUUID } from "node:crypto";
import { hookedAt, post } from "#cloud/kube-api/admission/calls";
import {
  fromVersion,
  inVersion,
  matchedVersion,
  meetsConditions,
  requestValues,
  type AdmissionRequest,
  type MatchParts,
} from "#cloud/kube-api/admission/requests";
import type { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import { jsonPatch } from "#shared/patch";
import { parseObject, type KindInfo } from "#cloud/kube-api/schema";
import type { ReachPod } from "#cloud/kube-api/http/service-calls";
import { refusals } from "#cloud/kube-api/status";
import { asError } from "#shared/errors";
import type { JsonObject } from "#shared/json";
import type { Logger } from "#shared/log";
import { readHooks, type Hook } from "./hooks.ts";
import { Denial, readAnswer, reviewOf, type ReviewAnswer } from "./review.ts";

const group = "admissionregistration.k8s.io";
type Phase = "mutating" | "validating";
const resources: Readonly<Record<Phase, string>> = {
  mutating: `${group}/mutatingwebhookconfigurations`,
  validating: `${group}/validatingwebhookconfigurations`,
};
/** Steps of the match conditions of one webhook. */
const mostSteps = 1_000_000;

export interface WebhookParts extends MatchParts {
  readonly conversions: Conversions;
  readonly log: Logger;
  /** The way to pods on their nodes. */
  readonly reach?: ReachPod | undefined;
}

interface Called {
  readonly hook: Hook;
  /** In the version that its rules name. */
  readonly kind: KindInfo;
}

/** Calls the admission webhooks of MutatingWebhookConfigurations and ValidatingWebhookConfigurations. */
export class Webhooks implements Disposable {
  readonly #parts: WebhookParts;
  readonly #hooks: Record<Phase, readonly Hook[]> = { mutating: [], validating: [] };
  readonly #following: Disposable[];

  constructor(parts: WebhookParts) {
    this.#parts = parts;
    this.#following = (["mutating", "validating"] as const).map((phase) => {
      this.#read(phase);
      return parts.store.follow(resources[phase], () => this.#read(phase));
    });
  }

  /** There is none at all. */
  get isIdle(): boolean {
    return this.#hooks.mutating.length === 0 && this.#hooks.validating.length === 0;
  }

  /** Whether a request has to wait for webhooks; without any it is written in one turn. */
  concern(request: AdmissionRequest): boolean {
    return this.#called("mutating", request).length > 0 || this.#called("validating", request).length > 0;
  }

  /** The object after the mutating webhooks, one after the other in the order of their configurations. @throws Refusal */
  async mutate(request: AdmissionRequest, warn: (text: string) => void): Promise<JsonObject | undefined> {
    let { object } = request;
    const seen = new Map<Hook, JsonObject | undefined>();
    for (const again of [false, true])
      for (const called of this.#called("mutating", { ...request, object })) {
        const { hook } = called;
        // Once more for those that ask for it, when others changed the object after them.
        if (again && (!hook.reinvoked || Bun.deepEquals(seen.get(hook), object))) continue;
        object = await this.#mutated(called, { ...request, object }, warn);
        seen.set(hook, object);
      }
    return object;
  }

  /** Asks all validating webhooks at once. @throws Refusal of the first that denies */
  async validate(request: AdmissionRequest, warn: (text: string) => void): Promise<void> {
    const all = this.#called("validating", request).map((called) => this.#call(called, request, warn));
    await Promise.all(all);
  }

  [Symbol.dispose](): void {
    for (const following of this.#following) following[Symbol.dispose]();
  }

  #read(phase: Phase): void {
    const { store } = this.#parts;
    this.#hooks[phase] = store
      .list(resources[phase])
      .flatMap(({ revision }) => readHooks(parseObject(store.text(revision) ?? "{}")));
  }

  #called(phase: Phase, request: AdmissionRequest): Called[] {
    // The configurations themselves: what one webhook breaks could not be repaired otherwise.
    if (this.#hooks[phase].length === 0 || request.kind.group === group) return [];
    return this.#hooks[phase].flatMap((hook) => {
      const kind = matchedVersion(hook, request, this.#parts);
      return kind ? [{ hook, kind }] : [];
    });
  }

  /** The object as a webhook wants it. */
  async #mutated(
    called: Called,
    request: AdmissionRequest,
    warn: (text: string) => void,
  ): Promise<JsonObject | undefined> {
    const { patch, object } = await this.#call(called, request, warn);
    if (patch === undefined || !object) return request.object;
    const patched = { object: jsonPatch(object, patch), seenAs: called.kind };
    return fromVersion(this.#parts.conversions, request, patched);
  }

  async #call(
    called: Called,
    request: AdmissionRequest,
    warn: (text: string) => void,
  ): Promise<Pick<ReviewAnswer, "patch"> & Pick<AdmissionRequest, "object">> {
    const { hook, kind } = called;
    const none = { patch: undefined, object: undefined };
    try {
      const seen = await inVersion(this.#parts.conversions, request, kind);
      const { conditions } = hook;
      if (
        conditions.length > 0 &&
        !meetsConditions(conditions, requestValues(request, seen), { steps: mostSteps })
      )
        return none;
      const uid = randomUUID();
      const { store, reach } = this.#parts;
      const sent = { body: JSON.stringify(reviewOf(request, seen, uid)), timeoutMs: hook.timeoutMs };
      const text = await post(hookedAt(hook.client, store), sent, reach).catch((error: unknown) => {
        throw new Error(`failed to call webhook: ${asError(error).message}`, { cause: error });
      });
      const answer = readAnswer(text, { uid, name: hook.name });
      answer.warnings.forEach(warn);
      return { patch: answer.patch, object: seen.object };
    } catch (error) {
      if (error instanceof Denial) {
        error.warnings.forEach(warn);
        throw error;
      }
      const why = `failed calling webhook ${JSON.stringify(hook.name)}: ${asError(error).message}`;
      if (!hook.ignoresFailure) throw refusals.internalError(why);
      this.#parts.log.warn("cannot call an admission webhook, ignored as it asks for", {
        webhook: hook.name,
        error,
      });
      return none;
    }
  }
}
