/** HTTPS as the REST entry needs it: connections, bodies of requests, and responses. */
export { EntryServer, type EntryPems } from "./entry-server.ts";
export { passOn } from "./pass-on.ts";
export { sendJson, sendProblem, writeProblem, type EntryProblem } from "./reply.ts";
export { announcedTooLarge, BodyError, bodyOf, tooLarge, wholeBodyOf } from "./request-body.ts";
