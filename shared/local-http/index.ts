/**
 * HTTP servers for programs on this machine. A web page that a browser there shows must not use them: a client that names another
 * host or comes from another origin is refused. Beyond the machine they are served with a token alone.
 */
export { guardLocally, type GuardOptions } from "./guard.ts";
export { isOwnHost, isOwnOrigin } from "./own-hosts.ts";
export { serveLocally, type LocalServer, type LocalServerOptions } from "./local-server.ts";
export { TokenFile } from "./token-file.ts";
