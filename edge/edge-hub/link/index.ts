/** The connection to the cloud: dialled, watched and dialled again. */
export { Link, type LinkOptions } from "./link.ts";
