/** No MQTT text can have it, so that nobody can call himself what is another's. */
const separator = "\0";

/**
 * What a client goes by in here: its id is its own only among those of its user, since anybody may say any id. Who is
 * nobody goes by the id alone.
 */
export function sessionName(user: string | undefined, clientId: string): string {
  return user === undefined ? clientId : `${user}${separator}${clientId}`;
}

/** What the client calls itself. */
export function clientIdOf(name: string): string {
  return name.slice(name.lastIndexOf(separator) + 1);
}

export function hasUser(name: string): boolean {
  return name.includes(separator);
}
