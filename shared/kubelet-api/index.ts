/** The server of a kubelet, as far as it is about pods: logs, exec, attach and port-forward. */
export {
  answerKubeletRequest,
  kubeletTarget,
  refusalText,
  type KubeletApiParts,
  type KubeletTarget,
} from "./kubelet-api.ts";
