import {
  inVersion,
  matchedVersion,
  requestValues,
  shownAs,
  type AdmissionRequest,
  type MatchParts,
} from "#cloud/kube-api/admission/requests";
import { accessValue, dynamicValue, type AccessCheck } from "#cloud/kube-api/custom-resources/cel";
import type { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import { parseObject, type KindInfo } from "#cloud/kube-api/schema";
import { Refusal, refusals } from "#cloud/kube-api/status";
import { asError } from "#shared/errors";
import type { JsonObject } from "#shared/json";
import type { Logger } from "#shared/log";
import { evaluatePolicy, type Denied } from "./evaluate.ts";
import { collectParams, type ParamParts } from "./params.ts";
import { readBinding, readPolicy, type Binding, type Policy } from "./policy.ts";
import { boundedAccess } from "./variables.ts";

const group = "admissionregistration.k8s.io";
const policyResource = `${group}/validatingadmissionpolicies`;
const bindingResource = `${group}/validatingadmissionpolicybindings`;
/** Codes of the reasons that a validation may give. */
const codes: Readonly<Record<string, number>> = {
  Forbidden: 403,
  Invalid: 422,
  RequestEntityTooLarge: 413,
  Unauthorized: 401,
};

export interface PolicyParts extends ParamParts, MatchParts {
  readonly conversions: Conversions;
  /** Whether the author of a request has a right. */
  readonly access: (author: JsonObject) => AccessCheck;
  readonly log: Logger;
}

interface Bound {
  readonly policy: Policy;
  readonly bindings: readonly Binding[];
}

interface Applied extends Bound {
  /** In the version that the rules of the policy name. */
  readonly kind: KindInfo;
}

/** A denial as the client reads it. */
interface Told extends Denied {
  readonly who: string;
}

/** Evaluates the ValidatingAdmissionPolicies that are bound, without waiting unless a webhook has to convert first. */
export class Policies implements Disposable {
  readonly #parts: PolicyParts;
  readonly #following: Disposable[];
  /** By their revisions: what is compiled is not compiled again when another one changes. */
  #policies: ReadonlyMap<number, Policy> = new Map();
  #bound: readonly Bound[] = [];

  constructor(parts: PolicyParts) {
    this.#parts = parts;
    this.#read();
    this.#following = [policyResource, bindingResource].map((resource) =>
      parts.store.follow(resource, () => this.#read()),
    );
  }

  /** There is none at all. */
  get isIdle(): boolean {
    return this.#bound.length === 0;
  }

  /** @returns a promise when a webhook has to convert the object first @throws Refusal */
  check(request: AdmissionRequest, warn: (text: string) => void): Promise<void> | undefined {
    const applied = this.#applied(request);
    const { conversions } = this.#parts;
    const waits = applied.some(({ kind }) => kind !== request.kind && conversions.concern(kind));
    if (waits) return this.#checkConverted(applied, request, warn);
    const told: Told[] = [];
    for (const one of applied)
      told.push(...this.#evaluate(one, { request, seen: shownAs(request, one.kind) }, warn));
    refuse(request, told);
    return undefined;
  }

  [Symbol.dispose](): void {
    for (const following of this.#following) following[Symbol.dispose]();
  }

  async #checkConverted(
    applied: readonly Applied[],
    request: AdmissionRequest,
    warn: (text: string) => void,
  ): Promise<void> {
    const told: Told[] = [];
    for (const one of applied)
      try {
        const seen = await inVersion(this.#parts.conversions, request, one.kind);
        told.push(...this.#evaluate(one, { request, seen }, warn));
      } catch (error) {
        told.push(...configurationError(one.policy, undefined, error));
      }
    refuse(request, told);
  }

  #read(): void {
    const { store, log } = this.#parts;
    const objectOf = (revision: number): JsonObject => parseObject(store.text(revision) ?? "{}");
    const all = store.list(bindingResource).map(({ revision }) => readBinding(objectOf(revision)));
    const bindings = Map.groupBy(all, ({ policyName }) => policyName);
    this.#policies = new Map(
      store
        .list(policyResource)
        .map(({ revision }) => [revision, this.#policies.get(revision) ?? readPolicy(objectOf(revision))]),
    );
    this.#bound = [...this.#policies.values()].flatMap((policy): Bound[] => {
      const found = bindings.get(policy.name) ?? [];
      return found.length === 0 ? [] : [{ policy, bindings: found }];
    });
    for (const { policy } of this.#bound)
      if (policy.problem !== undefined)
        log.warn("cannot evaluate an admission policy", { policy: policy.name, problem: policy.problem });
  }

  #applied(request: AdmissionRequest): Applied[] {
    // Policies and bindings themselves: what one breaks could not be repaired otherwise.
    if (this.#bound.length === 0 || isPolicyResource(request.kind)) return [];
    const parts = this.#parts;
    return this.#bound.flatMap(({ policy, bindings }): Applied[] => {
      const kind = matchedVersion(policy.matcher, request, parts);
      if (!kind) return [];
      const matching = bindings.filter(
        ({ matcher }) => !matcher || matchedVersion(matcher, request, parts) !== undefined,
      );
      return matching.length > 0 ? [{ policy, bindings: matching, kind }] : [];
    });
  }

  #evaluate(
    { policy, bindings }: Applied,
    about: { readonly request: AdmissionRequest; readonly seen: AdmissionRequest },
    warn: (text: string) => void,
  ): Told[] {
    if (policy.problem !== undefined) return configurationError(policy, undefined, new Error(policy.problem));
    const values = { ...requestValues(about.request, about.seen), ...this.#surroundings(about.request) };
    return bindings.flatMap((binding): Told[] => {
      try {
        const params = collectParams(this.#parts, policy, binding, about.request.namespace);
        return params.flatMap((param) => this.#evaluateWith(policy, binding, { values, param, warn }));
      } catch (error) {
        return configurationError(policy, binding, error);
      }
    });
  }

  #evaluateWith(
    policy: Policy,
    binding: Binding,
    {
      values,
      param,
      warn,
    }: {
      readonly values: Readonly<Record<string, unknown>>;
      readonly param: JsonObject | null;
      readonly warn: (text: string) => void;
    },
  ): Told[] {
    const params = param && dynamicValue(param);
    const { denied, annotations, broken } = evaluatePolicy(policy, { ...values, params });
    const who = spelled(policy, binding);
    const { log } = this.#parts;
    if (Object.keys(annotations).length > 0)
      log.info("an admission policy annotates a request", { policy: policy.name, annotations });
    for (const { message, index } of denied) {
      if (binding.actions.includes("Warn")) warn(`Validation failed for ${who}: ${message}`);
      if (binding.actions.includes("Audit"))
        log.info("a request fails an admission policy", {
          policy: policy.name,
          binding: binding.name,
          expressionIndex: index,
          message,
        });
    }
    const refusing = binding.actions.includes("Deny") ? denied : [];
    return [...refusing, ...broken].map((one) => ({ ...one, who }));
  }

  /** What expressions see beside the request itself. */
  #surroundings({ kind, namespace, name, author, subresource }: AdmissionRequest): Record<string, unknown> {
    const isNamespace = kind.group === "" && kind.kind === "Namespace";
    const text = isNamespace ? undefined : this.#parts.store.get("/namespaces", `/${namespace}`);
    const { group: ofGroup, plural: resource } = kind;
    const target = { group: ofGroup, resource, subresource, namespace, name };
    return {
      namespaceObject: text === undefined ? null : dynamicValue(parseObject(text)),
      authorizer: accessValue(boundedAccess(this.#parts.access(author)), target),
    };
  }
}

function isPolicyResource({ group: ofGroup, plural }: KindInfo): boolean {
  return [policyResource, bindingResource].includes(`${ofGroup}/${plural}`);
}

function configurationError(policy: Policy, binding: Binding | undefined, error: unknown): Told[] {
  if (policy.ignoresFailure) return [];
  const what = binding ? "failed to configure binding" : "failed to configure policy";
  const message = `${what}: ${asError(error).message}`;
  return [{ who: spelled(policy, binding), message, reason: "Invalid", index: undefined }];
}

function spelled(policy: Policy, binding: Binding | undefined): string {
  return `ValidatingAdmissionPolicy '${policy.name}'${binding ? ` with binding '${binding.name}'` : ""}`;
}

/** Answers with the first denial. @throws Refusal */
function refuse({ kind, name }: AdmissionRequest, [first]: readonly Told[]): void {
  if (!first) return;
  const message = `${first.who} denied request: ${first.message}`;
  const { status } = refusals.forbidden(kind, name, message);
  throw new Refusal({
    ...status,
    reason: first.reason,
    code: codes[first.reason] ?? 422,
    details: { ...status.details, causes: [{ message }] },
  });
}
