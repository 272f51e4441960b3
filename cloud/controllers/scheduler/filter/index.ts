/** Which nodes a pod can run on. */
export { findObstacle, notSelected, schedulingState, type Obstacle, type SchedulingState } from "./fit.ts";
export { eligibility } from "./topology-spread.ts";
