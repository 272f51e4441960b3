export { trimHistory } from "./history-trim.ts";
export { answerHistory, serveQueries } from "./query-server.ts";
