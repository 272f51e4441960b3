/** A message that a device published for the cloud, as it was published. */
export interface DeviceUpload {
  readonly node: string;
  /** The node's id of the message: a repetition has the same. */
  readonly id: string;
  /** of MQTT: any text */
  readonly topic: string;
  /** when the node sent it, by its clock, milliseconds since 1970 */
  readonly sentMs: number;
  readonly content: string;
  /** What was published, when it is no UTF-8 text. */
  readonly bytes?: Uint8Array;
}
