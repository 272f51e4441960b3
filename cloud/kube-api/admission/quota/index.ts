/** ResourceQuotas: what objects use, which quotas count them, and what is left. */
export { QuotaLedger, type Spending } from "./ledger.ts";
