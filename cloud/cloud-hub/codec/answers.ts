import type { KubeObject, Status } from "#shared/kube";
import type { DeviceMember, NodeAnswer } from "#shared/topics";
import { groups, okText, responseTo, sources, type Stamp, type WireMessage } from "#shared/wire";
import { downstreamMessage, type DownstreamMessage } from "./downstream-message.ts";
import type { AnswerForm } from "./requests.ts";

/** What an answer needs of the message that it answers. */
export interface ReplyAddress {
  readonly message: Pick<WireMessage, "header" | "route">;
  readonly form: AnswerForm;
  readonly isVersioned: boolean;
}

/** The answer to a request to the API. */
export function requestAnswer(stamp: Stamp, address: ReplyAddress, answer: NodeAnswer): DownstreamMessage {
  const { message, form, isVersioned } = address;
  const content = answer.ok ? successOf(form, answer.object) : failureOf(form, answer.status);
  const version = answer.ok && isVersioned ? answer.object?.metadata.resourceVersion : undefined;
  const route = { source: sources.edgeController, group: groups.resource, resourceVersion: version };
  return downstreamMessage(responseTo(stamp, message, content, route));
}

function successOf(form: AnswerForm, object: KubeObject | undefined): unknown {
  if (object === undefined) return okText;
  return form === "raw" ? object : { Object: object, Err: null };
}

/** As k8s.io/apimachinery's StatusError, which KubeEdge's client expects where it does not expect an ObjectResp. */
function failureOf(form: AnswerForm, status: Status): unknown {
  const failure = { ErrStatus: status };
  if (form !== "object-resp") return failure;
  return { Object: { metadata: { creationTimestamp: null } }, Err: failure };
}

/** The cloud has it: an upload is on disk. */
export function uploadAnswer(stamp: Stamp, { message }: ReplyAddress): DownstreamMessage {
  return downstreamMessage(responseTo(stamp, message, okText, { source: sources.cloudHub }));
}

/** The cloud will never take it: without an answer the node would send it again and again. */
export function refusalAnswer(stamp: Stamp, { message }: ReplyAddress, reason: string): DownstreamMessage {
  const status = {
    metadata: {},
    status: "Failure",
    message: reason,
    reason: "Forbidden",
    code: 403,
  } as const;
  const content = { ErrStatus: status };
  return downstreamMessage(responseTo(stamp, message, content, { source: sources.cloudHub }));
}

/** The cloud has a report of a device, or has no use for it. */
export function reportAnswer(stamp: Stamp, { message }: ReplyAddress): DownstreamMessage {
  return twinResponse(stamp, message, { content: okText, resource: "twin" });
}

/** As KubeEdge's dttype.MembershipDetail. */
export function membershipAnswer(
  stamp: Stamp,
  { message }: ReplyAddress,
  devices: readonly DeviceMember[],
): DownstreamMessage {
  const content = { event_id: stamp.id(), timestamp: stamp.nowMs(), devices };
  return twinResponse(stamp, message, { content, resource: "membership/detail" });
}

function twinResponse(
  stamp: Stamp,
  message: ReplyAddress["message"],
  { content, resource }: { readonly content: unknown; readonly resource: string },
): DownstreamMessage {
  const answer = responseTo(stamp, message, content, {
    source: sources.deviceController,
    group: groups.twin,
  });
  return downstreamMessage({ ...answer, route: { ...answer.route, resource } });
}
