export { hasAppArmor } from "./profiles.ts";
export { refuseContainer, refusePod, securityOf, type NodeSecurity } from "./security.ts";
export { sysctlsOf } from "./sysctls.ts";
