/** Keeps the Endpoints and EndpointSlices of Services: the addresses of their pods, or those that users wrote. */
export { startEndpointsController } from "./controller.ts";
export { startEndpointsMirror } from "./mirror.ts";
