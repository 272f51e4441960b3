import { readDiscovered, type DiscoveredDevices } from "#cloud/device-controller/discovered";
import { objectKey } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { DeviceStatusReport, DiscoveredDevice } from "#shared/topics";
import type { Bindings } from "./bindings.ts";
import { reportOf, type StatusWriter } from "#cloud/device-controller/status";

export interface ReportIntakeUses {
  readonly bindings: Bindings;
  readonly writer: Pick<StatusWriter, "submit">;
  /** undefined: what nodes find does not become objects */
  readonly discovered: Pick<DiscoveredDevices, "submit"> | undefined;
  readonly log: Logger;
}

/** What nodes report of their devices. Each promise resolves when it is in the API, or when the API will never take it. */
export class ReportIntake {
  readonly #uses: ReportIntakeUses;

  constructor(uses: ReportIntakeUses) {
    this.#uses = uses;
  }

  async report(report: DeviceStatusReport): Promise<undefined> {
    const { bindings, writer, log } = this.#uses;
    const { node, device: id, deviceUid } = report;
    const device = bindings.find(node, id, deviceUid);
    if (device) await new Promise<void>((done) => writer.submit(objectKey(device), reportOf(report), done));
    else log.debug("a node reported a device it does not have", { node, device: id });
    return undefined;
  }

  async discovered(offered: DiscoveredDevice): Promise<undefined> {
    const { discovered } = this.#uses;
    const found = discovered && readDiscovered(offered);
    if (found) await new Promise<void>((done) => discovered.submit(found, done));
    return undefined;
  }
}
