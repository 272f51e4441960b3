import type { Device, DeviceModel, KubeObject } from "#shared/kube";
import type { KubeClient, ResourceType } from "#cloud/kubeclient";

const label = "devices.kubeedge.io/discovered-by";
const finder = "devices.kubeedge.io/discovered-on";

/** Device and model a node offers; undefined when they are not what a node may make: its own, in namespace default. */
export function readDiscovered(
  content: unknown,
  node: string,
): { readonly device: Device; readonly model: DeviceModel } | undefined {
  const { device, model } = (content ?? {}) as { device?: Partial<Device>; model?: Partial<DeviceModel> };
  const name = device?.metadata?.name;
  if (!name || !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) || !device?.spec || !model?.spec)
    return undefined;
  const metadata = {
    name,
    namespace: "default",
    labels: { [label]: "home-assistant" },
    annotations: { [finder]: node },
  };
  const apiVersion = "devices.kubeedge.io/v1beta1";
  const spec = { ...device.spec, nodeName: node, deviceModelRef: { name } };
  return {
    device: { apiVersion, kind: "Device", metadata, spec },
    model: { apiVersion, kind: "DeviceModel", metadata, spec: model.spec },
  };
}

/** Creates the object, or brings one the same node found before up to date; others of that name are left alone. */
export async function apply(kube: KubeClient, type: ResourceType, object: KubeObject): Promise<void> {
  const { name = "", namespace = "" } = object.metadata;
  const at = { name, namespace };
  const there = await kube.find(type, at);
  if (!there) await kube.create(type, object);
  else if (there.metadata.annotations?.[finder] === object.metadata.annotations?.[finder])
    await kube.patch(type, at, { spec: object["spec"] }, { type: "merge" });
}
