export { answerHistory, serveQueries } from "./query-server.ts";
