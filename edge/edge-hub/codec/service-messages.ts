import { asRecord, asText } from "#shared/json";
import type { ServiceCall, ServiceDelivery, ServiceReply } from "#shared/topics";
import {
  encode,
  groups,
  headerFromJson,
  headerToJson,
  newMessage,
  operations,
  sources,
  type Stamp,
} from "#shared/wire";
import type { CloudMessage } from "./cloud-message.ts";

/** As KubeEdge's servicebus (edge/pkg/servicebus/servicebus.go). @returns undefined for what is no call and no target */
export function decodeServiceDelivery({
  envelope: { route, content },
}: CloudMessage): ServiceDelivery | undefined {
  const { operation, resource = "" } = route;
  if (operation === operations.start || operation === operations.stop)
    return resource === "" ? undefined : { operation, targetUrl: resource };
  const call = readCall(resource, operation, asRecord(content));
  return call && { operation: "call", call };
}

/** The reply to a call. Error replies of KubeEdge have no operation and never reach the caller; ours do. */
export function encodeServiceReply(
  stamp: Stamp,
  { envelope }: CloudMessage,
  { status, headers, body }: ServiceReply,
): string {
  return encode(
    newMessage(stamp, {
      source: sources.serviceBus,
      group: groups.user,
      operation: operations.upload,
      resource: "",
      content: {
        header: headerToJson(headers),
        status_code: status,
        body: Buffer.from(body).toString("base64"),
      },
      parentId: envelope.header.msg_id,
    }),
  );
}

function readCall(
  resource: string,
  operation: string | undefined,
  content: CallContent | undefined,
): ServiceCall | undefined {
  const [, port, path = ""] = /^(\d{1,5}):(.*)$/s.exec(resource) ?? [];
  const method = asText(content?.["method"]) || operation;
  if (port === undefined || method === undefined) return undefined;
  return {
    port: Number(port),
    method,
    path: path.startsWith("/") ? path : `/${path}`,
    headers: headerFromJson(content?.["header"]),
    body: Buffer.from(asText(content?.["body"]), "base64"),
  };
}

type CallContent = Readonly<Record<string, unknown>>;
