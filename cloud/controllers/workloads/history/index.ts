/** The templates that DaemonSets and StatefulSets had, kept as ControllerRevisions. */
export { RevisionHistory, type TemplateRevisions } from "./revision-history.ts";
