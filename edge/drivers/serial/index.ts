/** Serial ports. */
export { SerialLine, type LineSettings } from "./serial-line.ts";
