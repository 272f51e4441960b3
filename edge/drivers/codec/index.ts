/** Values of properties in the bytes that devices send. */
export { sizeOf, type BinaryType } from "./binary-type.ts";
export { decodeValue, encodeValue, type Layout } from "./layout.ts";
