/** HTTP to servers in pods, through the API: the subresource `proxy` of pods and Services. */
export { answerProxy, type ProxyParts, type ProxyRequested } from "./answer-proxy.ts";
