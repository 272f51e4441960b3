/** Client certificates of users, and who may have them issued. */
export { peerOfCertificate, refusalOf } from "./client-certificates.ts";
export { checkSigningRequest, type SigningWrite } from "./signing-access.ts";
