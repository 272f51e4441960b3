/** Requests as admission sees them: which rules they are for, in which version, and what expressions know of them. */
export { meetsConditions } from "./conditions.ts";
export { matchedVersion, readMatcher, type Matcher, type MatchParts } from "./matcher.ts";
export { describedRequest, requestValues, type AdmissionRequest } from "./request.ts";
export { fromVersion, inVersion, shownAs } from "./versions.ts";
