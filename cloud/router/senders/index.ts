/** The ways out of the router: to nodes and to URLs. */
export { errorHeader, forwardedHeaders, messageIdHeader, postHeaders, tokenProtocol } from "./headers.ts";
export { largestMessageBody, NodeSender, type NodeCall, type SendPort } from "./node-sender.ts";
export { UrlPoster, type Post, type PostAnswer } from "./url-poster.ts";
