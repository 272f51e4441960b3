/** A request that was answered, for metrics. */
export interface RequestFigure {
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly code: number;
  readonly seconds: number;
}
