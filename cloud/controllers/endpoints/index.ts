/** Keeps the Endpoints of Services: the addresses of their pods. */
export { startEndpointsController } from "./controller.ts";
