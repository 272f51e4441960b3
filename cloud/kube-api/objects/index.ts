/**
 * Reads and changes objects by the rules of the API: which kinds there are, what a create, an update and a deletion do to
 * metadata, and what follows (addresses of services, objects of definitions). Knows no HTTP and no users.
 */
export { ObjectService } from "./object-service.ts";
export { checkIdentity, checkType } from "./identity.ts";
export { unwrap } from "./unwrap.ts";
export { ownWrite } from "./write-request.ts";
export type {
  Admission,
  AdmissionCause,
  Listing,
  Lookup,
  ObjectTarget,
  WriteGuard,
  WriteOptions,
  Written,
} from "./write-request.ts";
export { crdResource, KindRegistry, resourceOf, type ServedVersion } from "./kind-registry.ts";
export { ServiceAddresses } from "./service-addresses.ts";
export { startCrdCleaner } from "./crd-cleaner.ts";
export { planDeletion, type DeleteOptions } from "./deletion.ts";
