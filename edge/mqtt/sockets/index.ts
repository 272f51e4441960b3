export { listen, type Accept, type Listeners, type Peer } from "./listeners.ts";
