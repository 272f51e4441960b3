/** How a program tells systemd that it is ready, stops, and lives. */
export { sendDatagram } from "./datagram.ts";
export { HealthChecks, type HealthCheck } from "./health.ts";
export { isMachineStopping } from "./machine.ts";
export { ServiceManager, type ManagerAddress } from "./service-manager.ts";
