export { binarySize, binaryTypes, readBinary, swapped, type BinaryField, type BinaryType } from "./binary.ts";
export { digitsOf, documentOf, scalarOf } from "./document.ts";
export { numberText, type NumberFormat } from "./number-text.ts";
export { excerpt, type RejectedValue } from "./rejected.ts";
