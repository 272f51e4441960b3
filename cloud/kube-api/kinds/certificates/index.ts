/** The rules of CertificateSigningRequests, after pkg/apis/certificates/validation and registry/certificates. */
export { isSigningRequest, keepDecisions, setRequester, stampConditions } from "./written.ts";
export { validateSigningRequest, validateSigningUpdate } from "./validate.ts";
