/** The Kubernetes API that cloudcore uses, over the link. */
export { CloudApi, type ApiCall, type OpenStream } from "./cloud-api.ts";
export { LinkedRepeat } from "./linked-repeat.ts";
export { OpenApiCopy, type OpenApiCopyOptions } from "./openapi-copy.ts";
