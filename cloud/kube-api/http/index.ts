/** The HTTP of the Kubernetes API: paths, bodies in JSON, YAML and protobuf, forms of answers. */
export {
  answerList,
  answerWithObject,
  answerText,
  checkPartial,
  partialOf,
  readAccept,
  tableOf,
  type Representation,
} from "./representation.ts";
export { isTrue, parseTarget, verbOf, type RequestTarget } from "./request-target.ts";
export type { RequestFigure } from "./request-figure.ts";
export type { ExtraReply, ExtraRequest, ExtraResource } from "./extra-resource.ts";
export { readContinue, writeContinue, type TokenScope } from "./continue-token.ts";
export {
  askedRevision,
  checkListOptions,
  checkWatchOptions,
  deleteOptionsOf,
  readDeleteOptions,
  readLimit,
  readRevision,
  readWriteOptions,
} from "./request-options.ts";
export { contentTypeOf, readBody } from "./request-body.ts";
