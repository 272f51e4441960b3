export { hasAppArmor } from "./profiles.ts";
export { refusePod, securityOf, type NodeSecurity } from "./security.ts";
export { sysctlsOf } from "./sysctls.ts";
