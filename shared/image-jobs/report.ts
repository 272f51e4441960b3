export interface ImageJobRequest {
  /** Name of the job. */
  readonly job: string;
  readonly images: readonly string[];
  /** Texts of docker configs. */
  readonly dockerConfigs: readonly string[];
  /** How often the pull of an image is repeated when it fails. */
  readonly retryTimes: number;
  /** "cpu", "mem", "disk": what the machine has to have left. */
  readonly checkItems: readonly string[];
}

/** What became of one image. */
export interface PulledImage {
  readonly image: string;
  readonly state: "Successful" | "Failed";
  /** Why it failed. */
  readonly reason?: string | undefined;
}

export type ImageJobReport =
  | { readonly kind: "state"; readonly state: "Checking" | "Pulling" }
  | { readonly kind: "image"; readonly image: PulledImage }
  | { readonly kind: "end"; readonly failure?: ImageJobFailure | undefined };

/** Why a node could not do a job. */
export interface ImageJobFailure {
  readonly event: "Check" | "Pull";
  readonly reason: string;
}
