/** Forbidden in MQTT strings (section 1.5.3), so that no client can choose the session name of another user. */
const separator = "\0";

/**
 * The name of a client's session: client ids are unique only among the clients of one user, since any client can choose
 * any id. For an anonymous client it is the client id.
 */
export function sessionName(user: string | undefined, clientId: string): string {
  return user === undefined ? clientId : `${user}${separator}${clientId}`;
}

/** The client id in a session name. */
export function clientIdOf(name: string): string {
  return name.slice(name.lastIndexOf(separator) + 1);
}

export function hasUser(name: string): boolean {
  return name.includes(separator);
}
