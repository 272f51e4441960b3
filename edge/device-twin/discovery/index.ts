export { HomeAssistantDiscovery } from "./home-assistant-discovery.ts";
