/** Moves the ReplicaSets of a Deployment from one pod template to the next. */
export { startDeploymentController } from "./controller.ts";
