export type { Capture, CaptureInfo, CaptureVma, PageRuns } from './capture/capture.ts';
export { CaptureError } from './capture/capture-error.ts';
export { decodeCapture, encodeCapture, loadCapture, saveCapture } from './capture/capture-file.ts';
export { captureTotals, type CaptureTotals } from './capture/capture-totals.ts';
export { type ProcessReading, readProcess, type ReadProcessOptions } from './capture/proc-reader.ts';
export { type ShippedCapture, shippedCaptures } from './capture/shipped.ts';
export { compare } from './compare/compare.ts';
export type {
  CompareOptions,
  Comparison,
  DataCheck,
  FaultSize,
  MemorySummary,
  ModelledTime,
  StrategyResult,
} from './compare/result.ts';
export { type CostConstant, type CostId, COSTS, type Provenance } from './cost-model/constants.ts';
export { comparisonJson } from './report/json.ts';
export { comparisonText } from './report/text.ts';
