import { randomUUID } from "node:crypto";
import type { FoldableReport } from "#edge/store";
import { asRecord } from "#shared/json";
import { decode, encode, largestMessageBytes } from "#shared/wire";

/** A frame that waits in the outbox. */
export type StoredFrame =
  | {
      readonly ok: true;
      readonly bytes: number;
      readonly id: string;
      /** Whether it has values of a device, which KubeEdge's cloud answers, unlike its state. */
      readonly isTwinReport: boolean;
    }
  | { readonly ok: false; readonly bytes: number; readonly reason: string };

/** Whether a stored frame can be sent, and how the answer to it is recognized. */
export function readStoredFrame(frame: string): StoredFrame {
  const bytes = Buffer.byteLength(frame);
  // The cloud would close the connection over it, again and again.
  if (bytes > largestMessageBytes) return { ok: false, bytes, reason: "it is larger than the cloud reads" };
  const decoded = decode(frame);
  if (!decoded.ok) return { ok: false, bytes, reason: decoded.reason };
  const { header, route } = decoded.message;
  const isTwinReport = route.resource?.endsWith("/twin/edge_updated") === true;
  return { ok: true, bytes, id: header.msg_id, isTwinReport };
}

/** A frame with values of a device, so that the store can make one of several; undefined for any other frame. */
export function readStoredReport(frame: string): FoldableReport | undefined {
  const decoded = decode(frame);
  if (!decoded.ok) return undefined;
  const { header, route, content } = decoded.message;
  const fields = asRecord(content);
  const twins = asRecord(fields?.["twin"]);
  if (route.resource === undefined || !twins) return undefined;
  const uid = fields?.["device_uid"];
  return {
    device: `${route.resource} ${typeof uid === "string" ? uid : ""}`,
    twins,
    withTwins: (next) =>
      encode({
        header: { ...header, msg_id: randomUUID() },
        route,
        content: { ...fields, twin: Object.fromEntries(next) },
      }),
  };
}
