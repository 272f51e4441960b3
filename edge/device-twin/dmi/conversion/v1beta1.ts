import type { AnyValues } from "#shared/dmi";
import { isRecord, recordOf } from "#shared/json";
import type { Device, DeviceModel, DeviceProperty, ProtocolConfig } from "#shared/kube";
import { effectiveDevice } from "./effective.ts";
import type { Conversion, DeviceOfModel } from "./messages.ts";

/**
 * Messages of v1beta1. Mappers of KubeEdge read `desired`, `visitors` and their settings of each property without looking whether
 * they are there, so that they always are.
 */
export class BetaMessages implements Conversion {
  readonly #anyValues: AnyValues;

  constructor(anyValues: AnyValues) {
    this.#anyValues = anyValues;
  }

  device(given: DeviceOfModel): object {
    const { metadata, spec = {}, status }: Device = effectiveDevice(given);
    const { reportToCloud, reportCycle } = recordOf(recordOf(spec)["stateReport"] ?? status);
    return {
      name: metadata.name,
      namespace: metadata.namespace ?? "default",
      spec: {
        deviceModelReference: spec.deviceModelRef?.name ?? "",
        protocol: this.#config(spec.protocol),
        properties: (spec.properties ?? []).map((property) => this.#property(property)),
        methods: recordOf(spec)["methods"],
      },
      status: { reportToCloud, reportCycle },
    };
  }

  /** Of KubeEdge's fields it has all. */
  model({ metadata, spec }: DeviceModel): object {
    return { name: metadata.name, namespace: metadata.namespace ?? "default", spec: spec ?? {} };
  }

  #property(property: DeviceProperty): object {
    const { name, desired, visitors, reportCycle, collectCycle, reportToCloud } = property;
    const { value = "", metadata } = desired ?? {};
    return {
      name,
      desired: { value, metadata },
      visitors: this.#config(visitors),
      reportCycle,
      collectCycle,
      reportToCloud,
      pushMethod: this.#pushMethod(recordOf(property)["pushMethod"]),
    };
  }

  #config(config: ProtocolConfig | undefined): object {
    const { protocolName = "", configData = {} } = config ?? {};
    return { protocolName, configData: { data: this.#anyValues.encodeAll(configData) } };
  }

  #pushMethod(given: unknown): unknown {
    if (!isRecord(given)) return undefined;
    const { anomalyDetection, ...rest } = given;
    if (!isRecord(anomalyDetection)) return rest;
    return { ...rest, anomalyDetection: { data: this.#anyValues.encodeAll(anomalyDetection) } };
  }
}
