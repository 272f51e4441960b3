/** Requests to an API about pods on their nodes: what is checked before a node is asked, and how it is answered. */
export {
  answerPodRequest,
  isPodStream,
  type PodConnected,
  type PodRequested,
  type PodRequestParts,
  type PodStreamName,
} from "./answer.ts";
