/** Starts Jobs by schedule. */
export { startCronJobController } from "./controller.ts";
