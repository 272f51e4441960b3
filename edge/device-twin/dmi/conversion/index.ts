export { AlphaMessages } from "./v1alpha1.ts";
export { BetaMessages } from "./v1beta1.ts";
export type { Conversion, DeviceOfModel } from "./messages.ts";
