/** Which of the nodes that fit is the best one for a pod. */
export { bestOf } from "./best.ts";
