import type { Clock } from "#shared/clock";
import type { ConfigFields } from "#edge/drivers/config";

/** What a driver has to know of a property besides its `configData`. */
export interface PropertyKind {
  readonly name: string;
  /** Of its twin: string, int, float or boolean. */
  readonly type: string;
  /** Its values are base64: BYTES in the model. */
  readonly isBinary: boolean;
  /** The model's `minimum` is below zero. */
  readonly isSigned: boolean;
}

/** A property and where the device has it. */
export interface Point<Place> {
  readonly property: PropertyKind;
  readonly place: Place;
}

/** What reading one property led to. */
export type Reading = { readonly value: string } | { readonly problem: string };

/**
 * A protocol that edgecore speaks to devices itself. `configData` of `spec.protocol` gives the connection, that of a property its
 * place. Fields that cannot be used are noted in `ConfigFields`, and nothing is returned.
 */
export interface Driver<Connection, Place> {
  readonly connection: (fields: ConfigFields) => Connection | undefined;
  /** Keys of `configData` of the protocol. */
  readonly connectionKeys: readonly string[];
  readonly place: (fields: ConfigFields, property: PropertyKind) => Place | undefined;
  /** Keys of `configData` of a property. */
  readonly placeKeys: readonly string[];
  /** Devices with equal keys share a link, such as a serial line. */
  readonly linkKey: (connection: Connection) => string;
  /** @throws UnavailableError when there is nobody */
  readonly open: (connection: Connection, parts: LinkParts) => Promise<Link<Connection, Place>>;
}

export interface LinkParts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * An open link to one device or to several. One call at a time. When a call rejects, the link is closed and opened again
 * later; what concerns one property alone is a `problem`, and no rejection.
 */
export interface Link<Connection, Place> extends AsyncDisposable {
  /**
   * One reading for each point, in order.
   * @throws UnavailableError when the device does not answer
   */
  read(
    connection: Connection,
    points: readonly Point<Place>[],
    signal: AbortSignal,
  ): Promise<readonly Reading[]>;
  /**
   * Sets one property.
   * @returns the reason when the device or the driver refuses it
   * @throws UnavailableError when the device does not answer
   */
  write(
    connection: Connection,
    point: Point<Place>,
    value: string,
    signal: AbortSignal,
  ): Promise<string | undefined>;
}
