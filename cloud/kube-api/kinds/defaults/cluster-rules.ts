import { childOf, ensureChild, itemsOf, setDefault, setDefaultText, type JsonObject } from "#shared/json";

/** Kinds that say how the API itself treats requests: webhooks, admission policies, flow control. */

export function defaultWebhooks(object: JsonObject): void {
  for (const webhook of itemsOf(object, "webhooks")) {
    setDefaultText(webhook, "failurePolicy", "Fail");
    defaultMatching(webhook);
    setDefault(webhook, "timeoutSeconds", 10);
    if (object.kind === "MutatingWebhookConfiguration")
      setDefaultText(webhook, "reinvocationPolicy", "Never");
    for (const rule of itemsOf(webhook, "rules")) setDefaultText(rule, "scope", "*");
    const service = childOf(childOf(webhook, "clientConfig"), "service");
    if (service) setDefault(service, "port", 443);
  }
}

export function defaultApiService(object: JsonObject): void {
  const service = childOf(childOf(object, "spec"), "service");
  if (service) setDefault(service, "port", 443);
}

function defaultMatching(match: JsonObject): void {
  setDefaultText(match, "matchPolicy", "Equivalent");
  setDefault(match, "namespaceSelector", {});
  setDefault(match, "objectSelector", {});
}

export function defaultAdmissionPolicy(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  setDefaultText(spec, "failurePolicy", "Fail");
  const match = childOf(spec, "matchConstraints");
  if (match) defaultMatchResources(match);
  ensureChild(object, "status");
}

export function defaultPolicyBinding(object: JsonObject): void {
  const match = childOf(childOf(object, "spec"), "matchResources");
  if (match) defaultMatchResources(match);
}

function defaultMatchResources(match: JsonObject): void {
  defaultMatching(match);
  for (const field of ["resourceRules", "excludeResourceRules"])
    for (const rule of itemsOf(match, field)) setDefaultText(rule, "scope", "*");
}

export function defaultFlowSchema(object: JsonObject): void {
  setDefault(ensureChild(object, "spec"), "matchingPrecedence", 1000);
  ensureChild(object, "status");
}

export function defaultPriorityLevel(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  if (spec.type === "Exempt") {
    const exempt = ensureChild(spec, "exempt");
    setDefault(exempt, "nominalConcurrencyShares", 0);
    setDefault(exempt, "lendablePercent", 0);
  }
  const limited = childOf(spec, "limited");
  if (limited) {
    setDefault(limited, "nominalConcurrencyShares", 30);
    setDefault(limited, "lendablePercent", 0);
    const response = ensureChild(limited, "limitResponse");
    const queuing = childOf(response, "queuing");
    if (queuing) for (const [field, value] of Object.entries(queues)) setDefault(queuing, field, value);
  }
  ensureChild(object, "status");
}

const queues = { queues: 64, handSize: 8, queueLengthLimit: 50 };
