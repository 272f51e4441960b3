/** HTTPS to servers behind Services, which the API itself calls: admission webhooks and aggregated APIs. */
export {
  callService,
  describeFailure,
  type ReachPod,
  type ServiceAnswer,
  type ServiceCall,
  type Trust,
} from "./call.ts";
export { textWithin } from "./whole-body.ts";
export {
  destinationOfService,
  destinationOfUrl,
  MissingEndpoint,
  type Destination,
  type ServicePod,
} from "./destination.ts";
