export { compileTemplate, templateProblem, type Rendered, type Template } from "./template.ts";
