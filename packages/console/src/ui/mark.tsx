/** The product's mark: somebody, and somebody who goes for them. */
export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" className="shrink-0">
      <rect width="32" height="32" rx="8" className="fill-accent" />
      <g fill="none" strokeWidth="2.4" strokeLinecap="round" strokeLinejoin="round" className="stroke-accent-text">
        <circle cx="11.5" cy="11.5" r="4" />
        <path d="M6 25c0-4.6 2.6-7 6-7" />
        <path d="M17 22h9m-3.5-3.5L26 22l-3.5 3.5" />
      </g>
    </svg>
  );
}
