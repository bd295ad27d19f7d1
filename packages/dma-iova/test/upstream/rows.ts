/** A test of the kernel's own suites (specification section 5), as ours. */
export interface UpstreamRow {
  readonly suite: 'generic_pt format' | 'generic_pt iommu' | 'io-pgtable-arm' | 'iova' | 'iommufd' | 'others';
  readonly name: string;
  /** What ours shows, as a sentence. */
  readonly title: string;
  readonly run: () => void;
}

/** A row that has its test elsewhere, or none, and why. */
export interface UpstreamElsewhere {
  readonly suite: UpstreamRow['suite'];
  readonly name: string;
  /** Test file of this package, or `none`. */
  readonly where: string;
  readonly why: string;
}
