import { expect, test } from "bun:test";
import { objectAt, resources } from "#cloud/kube-client";
import { startEndpointsController } from "#internal/cloud/controllers/endpoints/controller.ts";
import type { EndpointSlice } from "#internal/cloud/controllers/endpoints/slices.ts";
import { controllerDeps, smallPod } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";

test("an EndpointSlice that somebody removes or changes is restored", async () => {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  const spec = { selector: { app: "web" }, ports: [{ port: 80 }] };
  kube.put(resources.services, { metadata: { name: "web", namespace: "default" }, spec });
  const pod = smallPod("p");
  kube.put(resources.pods, {
    ...pod,
    metadata: { ...pod.metadata, labels: { app: "web" } },
    spec: { ...pod.spec, nodeName: "edge-1" },
    status: { phase: "Running", podIP: "10.0.0.2", conditions: [{ type: "Ready", status: "True" }] },
  });
  await using _controller = startEndpointsController(await controllerDeps(kube, clock));
  await clock.advance(0);
  const addresses = (): (readonly string[])[] =>
    kube
      .all<EndpointSlice>(resources.endpointSlices)
      .flatMap(({ endpoints = [] }) => endpoints.map((one) => one.addresses));
  expect(addresses()).toEqual([["10.0.0.2"]]);
  const [slice] = kube.all<EndpointSlice>(resources.endpointSlices);
  if (!slice) throw new Error("there is no slice");
  await kube.remove(resources.endpointSlices, objectAt(slice));
  await clock.advance(0);
  expect(addresses()).toEqual([["10.0.0.2"]]);
  const [again] = kube.all<EndpointSlice>(resources.endpointSlices);
  if (!again) throw new Error("there is no slice");
  await kube.replace(resources.endpointSlices, { ...again, endpoints: [] });
  await clock.advance(0);
  expect(addresses()).toEqual([["10.0.0.2"]]);
});
