import { asRecord, tryJson } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { JsonBody, ReceivedObject, TwinDelivery, UserDelivery } from "#shared/topics";
import { bytesOf, deviceOfHistory, operations, parseResource, sources } from "#shared/wire";
import type { CloudMessage } from "./cloud-message.ts";

/** KubeEdge's metamanager serves these; an update of any other source it stores, and neither passes on nor acknowledges. */
const controllers: readonly string[] = [
  sources.edgeController,
  sources.controller,
  sources.deviceController,
  "dynamiccontroller",
];

const objectOperations: Readonly<Record<string, ReceivedObject["operation"]>> = {
  [operations.insert]: "create",
  [operations.update]: "update",
  [operations.delete]: "delete",
};

/** @returns undefined for what is no object or no operation on one */
export function decodeObjectDelivery({
  envelope: { route, content },
}: CloudMessage): ReceivedObject | undefined {
  const path = parseResource(route.resource ?? "");
  const object = kubeObjectIn(content);
  const operation = objectOperations[route.operation ?? ""];
  if (!path || path.name === "" || !object || !operation) return undefined;
  return { ...path, operation, object, fromController: controllers.includes(route.source ?? "") };
}

/** @returns undefined for what the twins have nothing to do with */
export function decodeTwinDelivery({ envelope: { route, content } }: CloudMessage): TwinDelivery | undefined {
  const { operation, resource = "" } = route;
  const asked = operation === operations.query ? deviceOfHistory(resource) : undefined;
  if (asked !== undefined) return { kind: "history", device: asked, question: content };
  const body = readBody(content);
  if (!body) return undefined;
  if (resource === "membership") return { kind: "membership", body };
  if (resource === "membership/detail") return { kind: "members", body };
  const [, device, what] = /^device\/(.+)\/(twin\/cloud_updated|updated)$/.exec(resource) ?? [];
  if (device === undefined) return undefined;
  return { kind: what === "updated" ? "attributes" : "twins", device, body };
}

/** @returns undefined for an operation that brokers do not know */
export function decodeUserDelivery({ envelope }: CloudMessage): UserDelivery | undefined {
  const { route, content } = envelope;
  const { operation, resource: topic = "" } = route;
  switch (operation) {
    case operations.publish:
      return { operation, topic, payload: bytesOf(envelope) ?? contentBytes(content) };
    case operations.subscribe:
    case operations.unsubscribe:
      return { operation, topic };
    case undefined:
    default:
      return undefined;
  }
}

/** KubeEdge sends an object as JSON value; a v0.x edge's helper sends it as text. */
export function kubeObjectIn(content: unknown): KubeObject | undefined {
  const value = readBody(content);
  return isKubeObject(value) ? value : undefined;
}

/** Some peers send JSON inside a string. */
function readBody(content: unknown): JsonBody | undefined {
  return asRecord(typeof content === "string" ? tryJson(content) : content);
}

function isKubeObject(value: JsonBody | undefined): value is JsonBody & KubeObject {
  return asRecord(value?.["metadata"]) !== undefined;
}

/** Texts as they are, anything else as JSON. */
function contentBytes(content: unknown): Uint8Array {
  return Buffer.from(typeof content === "string" ? content : JSON.stringify(content ?? ""));
}
