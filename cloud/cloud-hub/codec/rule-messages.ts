import { ProtocolError } from "#shared/errors";
import { asRecord } from "#shared/json";
import type { RuleCommand, ServiceCall, ServiceReply } from "#shared/topics";
import {
  groups,
  headerFromJson,
  headerToJson,
  newMessage,
  operations,
  responseTo,
  sources,
  type Stamp,
} from "#shared/wire";
import type { ReplyAddress } from "./answers.ts";
import { downstreamMessage, type DownstreamMessage } from "./downstream-message.ts";
import type { NodeReply } from "./questions.ts";

/** As KubeEdge's router (cloud/pkg/router/provider), for its nodes and for ours. */
export function commandMessage(stamp: Stamp, command: RuleCommand): DownstreamMessage {
  const { operation } = command;
  const route =
    "targetUrl" in command
      ? { source: sources.routerServiceBus, resource: command.targetUrl }
      : { source: sources.routerEventBus, resource: command.topic };
  const { payload: content, bytes } =
    command.operation === operations.publish ? command : { payload: null, bytes: undefined };
  return downstreamMessage(newMessage(stamp, { ...route, group: groups.user, operation, content, bytes }));
}

/**
 * The call of a server on a node. Bytes travel as base64, and the node of KubeEdge takes the port from the resource, which
 * it refuses unless it has exactly one colon (edge/pkg/servicebus/servicebus.go).
 */
export function serviceMessage(
  stamp: Stamp,
  { port, method, path: plainPath, headers, body }: ServiceCall,
): DownstreamMessage {
  const path = plainPath.replaceAll(":", "%3A");
  return downstreamMessage(
    newMessage(stamp, {
      source: sources.routerServiceBus,
      group: groups.user,
      operation: method,
      resource: `${port}:${path}`,
      content: {
        header: headerToJson(headers),
        body: Buffer.from(body).toString("base64"),
        method,
        url: path,
      },
    }),
  );
}

/** @throws ProtocolError when it is no HTTP response */
export function readServiceReply(reply: NodeReply): ServiceReply {
  const content = reply.isError ? undefined : reply.content;
  const fields = asRecord(typeof content === "string" ? parse(content) : content);
  const status = fields?.["status_code"];
  if (typeof status !== "number" || !Number.isInteger(status) || status < 200 || status > 599)
    throw new ProtocolError("bad-service-reply", "the node sent no HTTP response");
  const body = fields?.["body"];
  return {
    status,
    headers: headerFromJson(fields?.["header"]),
    body: Buffer.from(typeof body === "string" ? body : "", "base64"),
  };
}

/** The answer of a target to a program on a node. */
export function targetAnswer(stamp: Stamp, { message }: ReplyAddress, text: string): DownstreamMessage {
  const route = { source: sources.routerServiceBus, group: groups.user };
  return downstreamMessage(responseTo(stamp, message, text, route));
}

/** Why a program on a node gets no answer of a target. */
export function targetFailure(stamp: Stamp, { message }: ReplyAddress, reason: string): DownstreamMessage {
  return downstreamMessage(
    newMessage(stamp, {
      source: sources.routerServiceBus,
      group: groups.user,
      operation: operations.error,
      resource: message.route.resource ?? "",
      content: reason,
      parentId: message.header.msg_id,
    }),
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
