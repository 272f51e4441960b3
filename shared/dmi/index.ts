/** The device mapper interface (DMI) of KubeEdge on the wire. */
export { AnyValues, type AnyValue } from "./any.ts";
export { readDmi, type DmiVersion } from "./definitions.ts";
export { alphaProtocol, isKnownInAlpha, type Settings } from "./alpha-shapes.ts";
