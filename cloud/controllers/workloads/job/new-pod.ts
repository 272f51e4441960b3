import { resources } from "#cloud/kube-client";
import type { Job } from "#cloud/controllers/framework";
import { podFromTemplate } from "#cloud/controllers/workloads/pods";
import {
  failureAnnotations,
  indexKey,
  limitsIndexes,
  trackingFinalizer,
  type NewPod,
} from "#cloud/controllers/workloads/job/rules";
import type { Container, Pod } from "#shared/kube";

const indexVariable = "JOB_COMPLETION_INDEX";

/** A pod of the Job's template. Of an Indexed Job it knows its index: by annotation, label, host name and environment. */
export function newPod(job: Job, { index, replaced }: NewPod): Pod {
  const pod = podFromTemplate(resources.jobs, job);
  const { metadata } = pod;
  metadata.finalizers = [...new Set([...(metadata.finalizers ?? []), trackingFinalizer])];
  if (index === undefined) return pod;
  const { name = "" } = job.metadata;
  const indexed = { [indexKey]: `${index}` };
  const failures = limitsIndexes(job.spec) ? failureAnnotations(replaced, job.spec) : {};
  return {
    ...pod,
    metadata: {
      ...metadata,
      generateName: `${name}-${index}-`,
      labels: { ...metadata.labels, ...indexed },
      annotations: { ...metadata.annotations, ...indexed, ...failures },
    },
    spec: {
      ...pod.spec,
      hostname: `${name}-${index}`,
      containers: pod.spec.containers.map(withIndex),
      ...(pod.spec.initContainers && { initContainers: pod.spec.initContainers.map(withIndex) }),
    },
  };
}

function withIndex(container: Container): Container {
  const { env = [] } = container;
  if (env.some(({ name }) => name === indexVariable)) return container;
  const valueFrom = { fieldRef: { fieldPath: `metadata.labels['${indexKey}']` } };
  return { ...container, env: [...env, { name: indexVariable, valueFrom }] };
}
