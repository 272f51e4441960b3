export { followProfiles, type ProfileParts } from "./follow-profiles.ts";
