import type { ReactNode, Ref } from 'react';

interface ScrollAreaProps {
  label: string;
  className: string;
  ref?: Ref<HTMLElement>;
  children: ReactNode;
}

/** What scrolls must be reachable by keyboard (WCAG 2.1.1), so it is focusable and has a name. */
export function ScrollArea({ label, className, ref, children }: ScrollAreaProps) {
  const focusable = { tabIndex: 0 };
  return (
    <section ref={ref} aria-label={label} {...focusable} className={`scroll-thin ${className}`}>
      {children}
    </section>
  );
}
