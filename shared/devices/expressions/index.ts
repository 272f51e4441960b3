export {
  isPath,
  parseExpression,
  plain,
  readPath,
  truthy,
  type Expression,
  type Message,
} from "./expression.ts";
export { quoteText, translateTemplate, type TemplateTranslation } from "./template.ts";
