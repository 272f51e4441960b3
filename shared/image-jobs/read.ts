import { asText, recordOf } from "#shared/json";
import type { ImageJobReport, ImageJobRequest, PulledImage } from "./report.ts";

/** The request of the cloud; undefined for what is none. */
export function readImageJobRequest(value: unknown): ImageJobRequest | undefined {
  const { job, images, dockerConfigs, retryTimes, checkItems } = recordOf(value);
  const lists = [images, dockerConfigs, checkItems].map(textsOf);
  const [names, configs, items] = lists;
  if (typeof job !== "string" || !names || !configs || !items) return undefined;
  if (typeof retryTimes !== "number" || retryTimes < 0) return undefined;
  return { job, images: names, dockerConfigs: configs, retryTimes, checkItems: items };
}

/** A report of a node; undefined for what is none. */
export function readImageJobReport(value: unknown): ImageJobReport | undefined {
  const { kind, state, image, failure } = recordOf(value);
  if (kind === "state" && (state === "Checking" || state === "Pulling")) return { kind, state };
  if (kind === "image") {
    const read = readImage(image);
    return read && { kind, image: read };
  }
  if (kind !== "end") return undefined;
  if (failure === undefined) return { kind };
  const { event, reason } = recordOf(failure);
  if (event !== "Check" && event !== "Pull") return undefined;
  return { kind, failure: { event, reason: bounded(asText(reason)) } };
}

function readImage(value: unknown): PulledImage | undefined {
  const { image, state, reason } = recordOf(value);
  if (typeof image !== "string" || (state !== "Successful" && state !== "Failed")) return undefined;
  const text = bounded(asText(reason));
  return { image: bounded(image), state, ...(text === "" ? {} : { reason: text }) };
}

/** What nodes report goes into an object of the API. */
function bounded(text: string): string {
  return text.slice(0, 512);
}

function textsOf(value: unknown): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const texts = value.filter((one) => typeof one === "string");
  return texts.length === value.length ? texts : undefined;
}
