/** What a protocol of devices has to do. */
export type { Driver, Link, LinkParts, Point, PropertyKind, Reading } from "./driver.ts";
