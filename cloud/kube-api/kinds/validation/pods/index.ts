/** The rules of pods and their templates. */
export {
  refuseEphemeralContainers,
  validateEphemeralContainers,
  validateMirrorUpdate,
  validatePodSpec,
  validatePodTemplate,
  validatePodUpdate,
} from "./pod.ts";
export { validateResize } from "./resize.ts";
export { validateTargetPort } from "./probe.ts";
export { preferredField, requiredField, validateGatedNode, validateNodeSelector } from "./scheduling.ts";
export { validateVolumeSource } from "./volume.ts";
