/** Streams to pods on a node, for logs, exec, attach and port-forward: what is asked, what is answered, and how they are framed. */
export { askPod } from "./answer.ts";
export {
  channelNumbers,
  encodeChannel,
  encodeInputEnd,
  largestFrame,
  readChannels,
  type ChannelFrame,
  type ProcessChannel,
} from "./channels.ts";
export { PodRefusal, refusePod } from "./refusal.ts";
export {
  podService,
  podStreamHead,
  readPodStreamHead,
  type PodAttachRequest,
  type PodExecRequest,
  type PodForwardRequest,
  type PodLogsRequest,
  type PodProxyRequest,
  type PodStreamRequest,
  type PodTarget,
  type ProcessRequest,
} from "./request.ts";
