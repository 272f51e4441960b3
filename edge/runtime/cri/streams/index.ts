export { CriStreams, type CriStreamsOptions } from "./streams.ts";
