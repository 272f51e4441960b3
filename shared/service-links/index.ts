/** What a pod learns about the Services of its namespace. */
export { serviceLinksOf, withServiceLinks, type LinkedPort, type ServiceLink } from "./service-links.ts";
