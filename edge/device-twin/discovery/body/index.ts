export { expandBody, numberIn, payloadIn, textIn, textsIn } from "./announcement-body.ts";
